"""What a verb says while it works, by a clock that the tests set."""

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from homefeed.progress import Progress
from homefeed.release import ReleaseRegistry
from homefeed_cli.waiting import Elapsed, beating, duration, waiting

SOON_S = 0.005
TEST = "{name: t, arms: {a: {release: 1}, b: {release: 2}}, primary: {name: requests}}"
LONG_S = 30.0  # far more than the tests need: only a test that fails waits for it


def said_by(elapsed: Elapsed, clock: Any, *at_s: float) -> list[str]:
    """The lines at these seconds after the beginning."""
    lines = []
    for seconds in at_s:
        clock.stand_at(seconds)
        lines.append(elapsed.line())
    return lines


def test_a_log_gets_a_line_after_two_seconds_and_then_one_every_thirty(set_clock: Any) -> None:
    elapsed = Elapsed("checking x", interactive=False, clock=set_clock)
    said = said_by(elapsed, set_clock, 0, 1.9, 2, 3, 31, 32, 40, 125)
    found = ["", "", "  checking x", "", "", "  checking x, 32 s", "", "  checking x, 2 min 5 s"]
    assert said == found


def test_a_terminal_is_redrawn_at_every_beat_once_two_seconds_have_gone(set_clock: Any) -> None:
    elapsed = Elapsed("checking x", interactive=True, clock=set_clock)
    said = said_by(elapsed, set_clock, 1, 2, 3, 4)
    assert said == ["", "  checking x, 2 s", "  checking x, 3 s", "  checking x, 4 s"]


@pytest.mark.parametrize(("interactive", "again_s"), [(True, 25), (False, 40)])
def test_a_progress_line_of_the_work_stands_until_it_has_been_silent_for_a_while(
    set_clock: Any, interactive: bool, again_s: int
) -> None:
    elapsed = Elapsed("checking x", interactive=interactive, clock=set_clock)
    set_clock.stand_at(10)
    elapsed.heard()
    said = said_by(elapsed, set_clock, 11, again_s - 1, again_s)
    assert said == ["", "", f"  checking x, {again_s} s"]


def test_more_than_a_minute_is_told_in_minutes() -> None:
    assert [duration(s) for s in (0.9, 59.9, 60, 185)] == ["0 s", "59 s", "1 min 0 s", "3 min 5 s"]


def test_nothing_is_said_of_what_ends_within_two_seconds(
    set_clock: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    beats = Beats()
    with waiting("checking x", quiet=False, clock=beats.counting(set_clock), every_s=SOON_S):
        beats.wait_for(3)
    assert capsys.readouterr() == ("", "")


def test_what_takes_longer_is_told_on_standard_error(
    set_clock: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    beats = Beats()
    with waiting("checking x", quiet=False, clock=beats.counting(set_clock), every_s=SOON_S):
        set_clock.now_s += 3
        beats.wait_for(3)
    assert capsys.readouterr() == ("", "  checking x\n")


def test_a_terminals_line_is_cleared_at_the_end_whatever_ended_the_work(
    set_clock: Any, a_terminal: Any
) -> None:
    terminal, beats = a_terminal(), Beats()

    def interrupted() -> None:
        with waiting("checking x", quiet=False, clock=beats.counting(set_clock), every_s=SOON_S):
            set_clock.now_s += 3
            beats.wait_for(3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    drawn = terminal.drawn()
    assert "\r\x1b[K  checking x, 3 s" in drawn
    assert drawn.endswith("\r\x1b[K")
    assert "elapsed time" not in {thread.name for thread in threading.enumerate()}


def test_a_progress_line_that_the_body_shows_itself_is_left_standing(
    set_clock: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    beats = Beats()
    with waiting("checking x", quiet=False, clock=beats.counting(set_clock), every_s=SOON_S):
        progress = Progress("world: days", 60)
        progress.shown -= 60  # the last line was a minute ago: the next is due
        progress.advance()
        beats.wait_for(2)  # of two beats one sees it, also where one was under way
        set_clock.now_s += 3
        beats.wait_for(3)
    assert "checking x" not in capsys.readouterr().err


def test_quiet_says_nothing_and_starts_nothing(
    set_clock: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    before = threading.active_count()
    with waiting("checking x", quiet=True, clock=set_clock, every_s=SOON_S):
        set_clock.now_s += 100
        assert threading.active_count() == before
    assert capsys.readouterr() == ("", "")


def test_a_standard_error_that_was_closed_ends_the_beats_and_not_the_work() -> None:
    asked = threading.Event()

    def closed() -> None:
        asked.set()
        raise BrokenPipeError

    with beating(closed, SOON_S):
        assert asked.wait(LONG_S)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("data check log.txt", "checking log.txt"),
        ("data import log.txt", "importing log.txt"),
        ("data show log.txt", "reading log.txt"),
        ("ab analyze t", "analysing t"),
        ("ab start t.yaml", "verifying the releases of t"),
        ("features get anna", "reading the features of user anna"),
        ("promote 3 --reason won", "promoting release 3"),
        ("rollback --reason lost", "rolling back"),
        ("doctor", "looking at the machine"),
        ("pipeline compile daily", "compiling"),
        ("pipeline submit daily", "submitting daily"),
    ],
)
@pytest.mark.usefixtures("told_at_once")
def test_a_verb_that_can_take_long_says_what_it_works_on_and_nothing_under_json(
    words: str, told: str, homefeed: Any, tmp_path: Path
) -> None:
    (tmp_path / "log.txt").write_text("1 10\n1 11\n2 10\n")
    (tmp_path / "t.yaml").write_text(TEST)
    assert waits(homefeed(*words.split()).err) == [f"  {told}"]
    assert waits(homefeed(*words.split(), "--json").err) == []


@pytest.mark.usefixtures("told_at_once")
def test_the_start_of_a_test_says_at_which_server_it_waits(
    homefeed: Any, registry: ReleaseRegistry, make_manifest: Any, workspace: Path, tmp_path: Path
) -> None:
    """Here at none; tests/integration/serving/test_server.py has one that answers."""
    for name in ("first", "second"):
        registry.register(make_manifest(name))
    registry.promote(1, reason="the first of all")
    (tmp_path / "t.yaml").write_text(TEST)
    with socket.socket() as nobody:  # bound, so that no other server has its port
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        where = (f"--set=storage.root={workspace}", f"--set=serving.port={port}")
        said = homefeed("ab", "start", "t.yaml", "--timeout", "0.2", *where)
    assert said.code == 2, "no server answered"
    assert waits(said.err) == [
        "  verifying the releases of t",
        f"  waiting for the server at http://127.0.0.1:{port} to report the arms of t",
    ]


def waits(err: str) -> list[str]:
    """The lines of standard error that say what is waited for: errors are not indented."""
    return [line for line in err.splitlines() if line.startswith("  ")]


class Beats:
    """Counts how often the beating thread asked for the time, and waits for more of it."""

    def __init__(self) -> None:
        self._more = threading.Semaphore(0)

    def counting(self, clock: Callable[[], float]) -> Callable[[], float]:
        """The clock, which counts when another thread than the test's reads it."""

        def read() -> float:
            if threading.current_thread() is not threading.main_thread():
                self._more.release()
            return clock()

        return read

    def wait_for(self, count: int) -> None:
        """Return once the clock was read so many times from now on."""
        while self._more.acquire(blocking=False):
            pass
        for _ in range(count):
            assert self._more.acquire(timeout=LONG_S)
