"""What a person sees while a pipeline runs, by a clock that the tests set."""

import argparse
import io
import math
import sys
import threading

import pytest

from homefeed_cli import follow, waiting
from homefeed_cli.follow import Display
from pipelines.runs import Run, Step

CLEAR = "\r\x1b[K"


class SetClock:
    """A clock that stands where the test put it."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds, as for a person."""
    monkeypatch.setattr(waiting, "SHORT_S", 2.0)


class Terminal(io.StringIO):
    """Standard error where a person sits."""

    def isatty(self) -> bool:
        return True


def a_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make standard error one; what it was told is its value. (A fixture would be too early.)"""
    monkeypatch.setenv("COLUMNS", "80")
    drawn = Terminal()
    monkeypatch.setattr(sys, "stderr", drawn)
    return drawn


def beats(display: Display, clock: SetClock, *at_s: float) -> None:
    """The beats at these seconds."""
    for clock.now_s in at_s:
        display.beat()


def test_in_a_log_a_step_that_shows_no_progress_is_named_once_and_then_every_thirty_seconds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = SetClock()
    display = Display("daily", quiet=False, clock=clock)
    display.listen("", Step("check-data"))
    beats(display, clock, 1, 2, 3, 31, 33)
    display.listen("", Step("check-data", "done", 33.0))
    assert capsys.readouterr().err.splitlines() == [
        "  check-data: running",
        "  check-data: running, 33 s",
        f"00:33  ✓ {'check-data':24} {'33.0 s':>9}",
    ]


def test_on_a_terminal_the_seconds_of_the_running_step_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = a_terminal(monkeypatch)
    clock = SetClock()
    display = Display("daily", quiet=False, clock=clock)
    display.listen("", Step("check-data"))
    beats(display, clock, 1, 2, 12)
    assert terminal.getvalue() == "".join(
        f"{CLEAR}  check-data: running{elapsed}" for elapsed in ("", ", 2 s", ", 12 s")
    )


def test_a_progress_line_of_the_step_is_left_standing_until_it_has_been_silent_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = a_terminal(monkeypatch)
    clock = SetClock()
    display = Display("daily", quiet=False, clock=clock)
    display.listen("", Step("train"))
    clock.now_s = 10.0
    display.listen("… user encoder  3/9", None)
    beats(display, clock, 11, 24)
    assert terminal.getvalue().endswith(f"{CLEAR}  train: user encoder  3/9")
    beats(display, clock, 25)
    assert terminal.getvalue().endswith(f"{CLEAR}  train: running, 25 s")


def test_before_the_first_step_and_after_one_the_pipeline_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = SetClock()
    display = Display("daily", quiet=False, clock=clock)
    beats(display, clock, 2)
    assert capsys.readouterr().err == "  daily: starting\n"
    display.listen("", Step("check-data", "cached"))
    capsys.readouterr()
    beats(display, clock, 3, 4)
    assert capsys.readouterr().err == "  daily: after check-data\n"


def test_an_interrupted_run_leaves_nothing_on_the_terminal_and_no_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = a_terminal(monkeypatch)
    display = Display("daily", quiet=False)

    def interrupted() -> None:
        with display.live():
            display.listen("", Step("check-data"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert terminal.getvalue() == f"{CLEAR}  check-data: running{CLEAR}"
    assert "elapsed time" not in {thread.name for thread in threading.enumerate()}


def test_under_json_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = a_terminal(monkeypatch)
    display = Display("daily", quiet=True)
    with display.live(every_s=0.001):
        assert "elapsed time" not in {thread.name for thread in threading.enumerate()}
        display.listen("", Step("check-data"))
        display.listen("… user encoder  3/9", None)
    assert terminal.getvalue() == ""


def test_a_run_is_shown_while_it_runs_and_its_failure_names_the_log(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = Run("daily-1", "daily", {}, status="failed", started="2025", error="no action")
    failed.steps = [Step("check-day", "failed", 2.0)]

    def run_pipeline(pipeline: str, *rest: object) -> Run:
        assert "elapsed time" in {thread.name for thread in threading.enumerate()}
        rest[-1]("", failed.steps[0])
        return failed

    monkeypatch.setattr("pipelines.local.run_pipeline", run_pipeline)
    monkeypatch.setattr(waiting, "SHORT_S", math.inf)  # how long the imports take is not the point
    args = argparse.Namespace(json=False, overrides=[], config=None, profile=None)
    assert follow.run_and_show("daily", "", "", "", args) is failed
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"00:00  ✗ {'check-day':24} {'2.0 s':>9}"
    assert said[1:3] == [
        "homefeed: step check-day failed: no action",
        "  log: homefeed pipeline logs daily-1",
    ]
