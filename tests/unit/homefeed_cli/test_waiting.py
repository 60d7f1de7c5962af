"""What a verb says while it works, by a clock that the tests set."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from homefeed.progress import Progress
from homefeed_cli import waiting as module
from homefeed_cli.waiting import Elapsed, beating, duration, waiting

SOON_S = 0.005
TEST = "{name: t, arms: {a: {release: 1}, b: {release: 2}}, primary: {name: requests}}"
LONG_S = 30.0  # far more than the tests need: only a test that fails waits for it


class SetClock:
    """A clock that stands where the test put it."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds, as for a person."""
    monkeypatch.setattr(module, "SHORT_S", 2.0)


def said_by(elapsed: Elapsed, clock: SetClock, *at_s: float) -> list[str]:
    """The lines at these seconds after the beginning."""
    lines = []
    for seconds in at_s:
        clock.now_s = 100.0 + seconds
        lines.append(elapsed.line())
    return lines


def test_a_log_gets_a_line_after_two_seconds_and_then_one_every_thirty() -> None:
    clock = SetClock()
    elapsed = Elapsed("checking x", interactive=False, clock=clock)
    said = said_by(elapsed, clock, 0, 1.9, 2, 3, 31, 32, 40, 125)
    found = ["", "", "  checking x", "", "", "  checking x, 32 s", "", "  checking x, 2 min 5 s"]
    assert said == found


def test_a_terminal_is_redrawn_at_every_beat_once_two_seconds_have_gone() -> None:
    clock = SetClock()
    elapsed = Elapsed("checking x", interactive=True, clock=clock)
    said = said_by(elapsed, clock, 1, 2, 3, 4)
    assert said == ["", "  checking x, 2 s", "  checking x, 3 s", "  checking x, 4 s"]


@pytest.mark.parametrize(("interactive", "again_s"), [(True, 25), (False, 40)])
def test_a_progress_line_of_the_work_stands_until_it_has_been_silent_for_a_while(
    interactive: bool, again_s: int
) -> None:
    clock = SetClock()
    elapsed = Elapsed("checking x", interactive=interactive, clock=clock)
    clock.now_s = 110.0
    elapsed.heard()
    said = said_by(elapsed, clock, 11, again_s - 1, again_s)
    assert said == ["", "", f"  checking x, {again_s} s"]


def test_more_than_a_minute_is_told_in_minutes() -> None:
    assert [duration(s) for s in (0.9, 59.9, 60, 185)] == ["0 s", "59 s", "1 min 0 s", "3 min 5 s"]


def test_nothing_is_said_of_what_ends_within_two_seconds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    beats, clock = Beats(), SetClock()
    with waiting("checking x", quiet=False, clock=beats.counting(clock), every_s=SOON_S):
        beats.wait_for(3)
    assert capsys.readouterr() == ("", "")


def test_what_takes_longer_is_told_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    beats, clock = Beats(), SetClock()
    with waiting("checking x", quiet=False, clock=beats.counting(clock), every_s=SOON_S):
        clock.now_s += 3
        beats.wait_for(3)
    assert capsys.readouterr() == ("", "  checking x\n")


def test_a_terminals_line_is_cleared_at_the_end_whatever_ended_the_work(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    beats, clock = Beats(), SetClock()

    def interrupted() -> None:
        with waiting("checking x", quiet=False, clock=beats.counting(clock), every_s=SOON_S):
            clock.now_s += 3
            beats.wait_for(3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    drawn = capsys.readouterr().err
    assert "\r\x1b[K  checking x, 3 s" in drawn
    assert drawn.endswith("\r\x1b[K")
    assert "elapsed time" not in {thread.name for thread in threading.enumerate()}


def test_a_progress_line_that_the_body_shows_itself_is_left_standing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    beats, clock = Beats(), SetClock()
    with waiting("checking x", quiet=False, clock=beats.counting(clock), every_s=SOON_S):
        progress = Progress("world: days", 60)
        progress.shown -= 60  # the last line was a minute ago: the next is due
        progress.advance()
        beats.wait_for(1)  # the beat that sees it
        clock.now_s += 3
        beats.wait_for(3)
    assert "checking x" not in capsys.readouterr().err


def test_quiet_says_nothing_and_starts_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    before = threading.active_count()
    clock = SetClock()
    with waiting("checking x", quiet=True, clock=clock, every_s=SOON_S):
        clock.now_s += 100
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
def test_a_verb_that_can_take_long_says_what_it_works_on_and_nothing_under_json(
    words: str, told: str, homefeed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "log.txt").write_text("1 10\n1 11\n2 10\n")
    (tmp_path / "t.yaml").write_text(TEST)
    asked: list[tuple[str, bool]] = []

    @contextmanager
    def kept(what: str, *, quiet: bool) -> Iterator[None]:
        asked.append((what, quiet))
        yield

    for name in ("ab", "data", "doctor", "features", "pipeline", "releases"):
        monkeypatch.setattr(f"homefeed_cli.{name}.waiting", kept)
    homefeed(*words.split())
    homefeed(*words.split(), "--json")
    assert asked == [(told, False), (told, True)]


def test_a_test_that_is_started_says_at_which_server_it_waits(
    homefeed: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "t.yaml").write_text(TEST)
    monkeypatch.setattr(
        "homefeed.release.registry.ReleaseRegistry.open",
        lambda *_: SimpleNamespace(action_types=()),
    )
    monkeypatch.setattr("homefeed.abtest.starting.wait_for_arms", lambda *_: None)
    asked: list[str] = []

    @contextmanager
    def kept(what: str, *, quiet: bool) -> Iterator[None]:
        asked.append(what)
        yield

    monkeypatch.setattr("homefeed_cli.ab.waiting", kept)
    assert homefeed("ab", "start", "t.yaml", "--set", "serving.port=3999").code == 0
    assert asked[1] == "waiting for the server at http://127.0.0.1:3999 to report the arms of t"


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
