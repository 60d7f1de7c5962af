"""``homefeed ab analyze --promote`` on a definition that names its control."""

from pathlib import Path
from typing import Any

import pytest

from homefeed.abtest.assignment import arm_of
from homefeed.abtest.definition import Definition, parse_definition
from homefeed.abtest.running import STOPPED, all_states, start_test
from homefeed.release import ReleaseRegistry
from serving.event_log import EventLog
from serving.logged import Action, Exposure

USERS = [f"i:{user}" for user in range(1000)]
CLICKS = {"a": 1, "b": 3}  # arm a is clearly worse; every second user clicks once more


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Where the command line looks."""
    return tmp_path / ".homefeed"


@pytest.fixture
def champions(registry: ReleaseRegistry, make_manifest: Any) -> ReleaseRegistry:
    """Three releases, of which the third and then the second became champion."""
    for name in ("first", "second", "third"):
        registry.register(make_manifest(name))
    registry.promote(3, reason="the first of all")
    registry.promote(2, reason="it won a test")
    return registry


@pytest.fixture
def lost(workspace: Path, champions: ReleaseRegistry) -> None:
    """A running test whose control is its second arm, and all that its users were shown and did."""
    definition = parse_definition(
        {
            "name": "t",
            "arms": {"a": {"release": 1}, "b": {"release": 2}},
            "control": "b",
            "primary": {"name": "clicks", "actions": ["click"]},
        }
    )
    start_test(workspace, definition, at_s=0.0)
    visits = [_visit(definition, user, extra=number % 2) for number, user in enumerate(USERS)]
    log = EventLog(workspace / "events.db")
    log.append([click for clicks, _ in visits for click in clicks], [shown for _, shown in visits])
    log.close()


def _visit(definition: Definition, user: str, extra: int) -> tuple[list[Action], Exposure]:
    arm = arm_of(definition, user)
    about = {"user_id": user, "request_id": f"of {user}"}
    shown = Exposure(
        **about, endpoint="feed", time_ms=1000, test="t", arm=arm,
        release_version=definition.arms[arm].release, release_hash="",
    )  # fmt: skip
    clicks = [
        Action(
            **about, event_id=f"{user}-{n}", item_id=f"i:{n}", action_type="click",
            time_ms=2000 + n, arrived_ms=2000 + n,
        )
        for n in range(CLICKS[arm] + extra)
    ]  # fmt: skip
    return clicks, shown


@pytest.mark.usefixtures("lost")
def test_a_champion_that_won_as_the_named_control_stays_when_the_test_rolls_back(
    homefeed: Any, champions: ReleaseRegistry, workspace: Path
) -> None:
    said = homefeed("ab", "analyze", "t", "--promote")
    assert said.code == 0
    assert "rollback: release 2 stays the champion" in said.out
    assert champions.champion() == 2
    assert all_states(workspace)["t"].status == STOPPED


@pytest.mark.usefixtures("lost")
def test_a_champion_that_lost_as_the_first_arm_is_rolled_back(
    homefeed: Any, champions: ReleaseRegistry
) -> None:
    champions.promote(1, reason="by hand")
    said = homefeed("ab", "analyze", "t", "--promote")
    assert "rolled back: release 2 is the champion again" in said.out
    assert champions.champion() == 2
