"""A test whose server stood at a simulated time ends at that time, not at this machine's."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from homefeed.abtest.assignment import arm_of
from homefeed.abtest.definition import Definition, parse_definition
from homefeed.abtest.exposure import end_of_test_s, outcomes, read_log
from homefeed.abtest.running import STOPPED, start_test, state_of
from homefeed.release import ReleaseRegistry
from serving.event_log import EventLog
from serving.logged import Action, Exposure

DAY_S = 86_400
USERS = [f"i:{user}" for user in range(200)]
TEST = parse_definition(
    {
        "name": "t",
        "arms": {"a": {"release": 1}, "b": {"release": 2}},
        "primary": {"name": "clicks", "actions": ["click"]},
    }
)
STOP = ("ab", "stop", "t", "--reason", "enough")
PROMOTE = ("ab", "analyze", "t", "--promote")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Where the command line looks."""
    return tmp_path / ".homefeed"


@pytest.fixture
def shown_at(
    workspace: Path, registry: ReleaseRegistry, make_manifest: Any
) -> Callable[[float], None]:
    """Start the test; all users are shown their arm at a time, and one clicks a second later."""
    for name in ("first", "second"):
        registry.register(make_manifest(name))
    registry.promote(1, reason="the first of all")

    def log(at_s: float) -> None:
        start_test(workspace, TEST, at_s=time.time(), champion=1)
        shown = [_exposure(TEST, user, int(1000 * at_s)) for user in USERS]
        _append(workspace, [_click(at_s + 1)], shown)

    return log


def _exposure(definition: Definition, user: str, time_ms: int) -> Exposure:
    arm = arm_of(definition, user)
    return Exposure(
        user_id=user, request_id=f"of {user}", endpoint="feed", time_ms=time_ms,
        test=definition.name, arm=arm, release_version=definition.arms[arm].release,
        release_hash="",
    )  # fmt: skip


def _click(at_s: float) -> Action:
    at_ms = int(1000 * at_s)
    return Action(
        event_id=f"at {at_ms}", user_id=USERS[0], item_id="i:1", action_type="click",
        time_ms=at_ms, arrived_ms=at_ms,
    )  # fmt: skip


def _append(workspace: Path, clicks: list[Action], shown: list[Exposure]) -> None:
    log = EventLog(workspace / "events.db")
    log.append(clicks, shown)
    log.close()


def _counted(workspace: Path) -> float:
    logged = read_log(workspace / "events.db", "t")
    ended_s = state_of(workspace, "t").stopped_s
    return float(outcomes(TEST, *logged, ended_s=ended_s).counts["clicks"].sum())


@pytest.mark.parametrize("verb", [STOP, PROMOTE], ids=["stop", "promote"])
@pytest.mark.parametrize("days_from_now", [-600, 600])
def test_what_users_do_in_the_simulated_days_after_the_end_does_not_count(
    homefeed: Any, shown_at: Any, workspace: Path, verb: tuple[str, ...], days_from_now: int
) -> None:
    at_s = time.time() + days_from_now * DAY_S
    shown_at(at_s)
    assert homefeed(*verb).code == 0
    assert state_of(workspace, "t").status == STOPPED
    _append(workspace, [_click(at_s + day * DAY_S) for day in range(1, 10)], [])
    assert _counted(workspace) == 1


def test_a_test_that_was_shown_a_moment_ago_ends_now(
    homefeed: Any, shown_at: Any, workspace: Path
) -> None:
    shown_at(time.time() - 3600)
    before = time.time()
    homefeed(*STOP)
    assert before <= (state_of(workspace, "t").stopped_s or 0.0) <= time.time()


def test_a_test_of_another_year_that_is_stopped_twice_was_stopped_the_first_time(
    homefeed: Any, shown_at: Any, workspace: Path
) -> None:
    shown_at(time.time() - 600 * DAY_S)
    assert "t is stopped; its users see the champion" in homefeed(*STOP).out
    first = state_of(workspace, "t")
    assert "t was stopped already at " in homefeed(*STOP).out
    assert state_of(workspace, "t") == first


def test_a_log_that_is_missing_or_cannot_be_read_keeps_nobody_from_ending_a_test(
    tmp_path: Path,
) -> None:
    path = tmp_path / "events.db"
    assert end_of_test_s(path, "t", 5.0) == 5.0
    path.write_text("this is no database, but some longer text instead" * 20)
    assert end_of_test_s(path, "t", 5.0) == 5.0
