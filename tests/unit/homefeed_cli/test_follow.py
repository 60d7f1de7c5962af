"""What a person sees while a pipeline runs, by a clock that the tests set."""

import threading
from typing import Any

import pytest

from homefeed_cli.follow import Display
from pipelines.runs import Step

CLEAR = "\r\x1b[K"


def beats(display: Display, clock: Any, *at_s: float) -> None:
    """The beats at these seconds."""
    for seconds in at_s:
        clock.stand_at(seconds)
        display.beat()


def test_in_a_log_a_step_that_shows_no_progress_is_named_once_and_then_every_thirty_seconds(
    set_clock: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    display = Display("daily", quiet=False, clock=set_clock)
    display.listen("", Step("check-data"))
    beats(display, set_clock, 1, 2, 3, 31, 33)
    display.listen("", Step("check-data", "done", 33.0))
    assert capsys.readouterr().err.splitlines() == [
        "  check-data: running",
        "  check-data: running, 33 s",
        f"00:33  ✓ {'check-data':24} {'33.0 s':>9}",
    ]


def test_on_a_terminal_the_seconds_of_the_running_step_go_on(
    set_clock: Any, a_terminal: Any
) -> None:
    terminal = a_terminal()
    display = Display("daily", quiet=False, clock=set_clock)
    display.listen("", Step("check-data"))
    beats(display, set_clock, 1, 2, 12)
    assert terminal.drawn() == "".join(
        f"{CLEAR}  check-data: running{elapsed}" for elapsed in ("", ", 2 s", ", 12 s")
    )


def test_a_progress_line_of_the_step_is_left_standing_until_it_has_been_silent_for_a_while(
    set_clock: Any, a_terminal: Any
) -> None:
    terminal = a_terminal()
    display = Display("daily", quiet=False, clock=set_clock)
    display.listen("", Step("train"))
    set_clock.stand_at(10)
    display.listen("… user encoder  3/9", None)
    beats(display, set_clock, 11, 24)
    assert terminal.drawn().endswith(f"{CLEAR}  train: user encoder  3/9")
    beats(display, set_clock, 25)
    assert terminal.drawn().endswith(f"{CLEAR}  train: running, 25 s")


def test_before_the_first_step_and_after_one_the_pipeline_is_named(
    set_clock: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    display = Display("daily", quiet=False, clock=set_clock)
    beats(display, set_clock, 2)
    assert capsys.readouterr().err == "  daily: starting\n"
    display.listen("", Step("check-data", "cached"))
    capsys.readouterr()
    beats(display, set_clock, 3, 4)
    assert capsys.readouterr().err == "  daily: after check-data\n"


def test_an_interrupted_run_leaves_nothing_on_the_terminal_and_no_thread(
    set_clock: Any, a_terminal: Any
) -> None:
    terminal = a_terminal()
    display = Display("daily", quiet=False, clock=set_clock)

    def interrupted() -> None:
        with display.live():
            display.listen("", Step("check-data"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert terminal.drawn() == f"{CLEAR}  check-data: running{CLEAR}"
    assert "elapsed time" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.usefixtures("told_at_once")
def test_under_json_nothing_is_shown(a_terminal: Any) -> None:
    terminal = a_terminal()
    display = Display("daily", quiet=True)
    with display.live(every_s=0.001):
        assert "elapsed time" not in {thread.name for thread in threading.enumerate()}
        display.listen("", Step("check-data"))
        display.listen("… user encoder  3/9", None)
    assert terminal.drawn() == ""
