"""``homefeed ab analyze --promote`` on a definition that names its control."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from homefeed.abtest.definition import parse_definition
from homefeed.abtest.exposure import Outcomes
from homefeed.abtest.running import STOPPED, all_states, start_test


@pytest.fixture
def champion(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The champions of a registry, the present one last."""
    champions = [3, 2]

    class Registry:
        def __init__(self, *place: object, **options: object) -> None: ...

        def champion(self) -> int:
            return champions[-1]

        def rollback(self, reason: str, **kept: object) -> None:
            champions.pop()

        def record(self, *entry: object, **kept: object) -> None: ...

    monkeypatch.setattr("homefeed.release.registry.ReleaseRegistry", Registry)
    return champions


@pytest.fixture
def lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A running test whose control is its second arm; arm a is clearly worse than control b."""
    definition = parse_definition(
        {
            "name": "t",
            "arms": {"a": {"release": 1}, "b": {"release": 2}},
            "control": "b",
            "primary": {"name": "clicks", "actions": ["click"]},
        }
    )
    start_test(tmp_path / ".homefeed", definition, at_s=0.0)
    users = np.arange(1000)
    found = Outcomes(
        arms=("a", "b"),
        user=np.array([f"i:{user}" for user in users]),
        arm=users % 2,
        requests=np.ones(1000),
        counts={"clicks": np.where(users % 2, 3.0, 1.0) + (users // 2) % 2},
        crossed_users=0,
        misassigned_users=0,
        wrong_release_requests=0,
    )
    monkeypatch.setattr("homefeed.abtest.exposure.read_log", lambda *place: ((), ()))
    monkeypatch.setattr("homefeed.abtest.exposure.outcomes", lambda *read: found)


@pytest.mark.usefixtures("lost")
def test_a_champion_that_won_as_the_named_control_stays_when_the_test_rolls_back(
    homefeed: Any, champion: list[int], tmp_path: Path
) -> None:
    said = homefeed("ab", "analyze", "t", "--promote")
    assert said.code == 0
    assert "rollback: release 2 stays the champion" in said.out
    assert champion == [3, 2]
    assert all_states(tmp_path / ".homefeed")["t"].status == STOPPED


@pytest.mark.usefixtures("lost")
def test_a_champion_that_lost_as_the_first_arm_is_rolled_back(
    homefeed: Any, champion: list[int]
) -> None:
    champion.append(1)
    said = homefeed("ab", "analyze", "t", "--promote")
    assert "rolled back: release 2 is the champion again" in said.out
    assert champion == [3, 2]
