"""A verdict of roll back moves the champion where the champion is an arm that lost."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from homefeed.steps.abtests import carry_out


@dataclass
class Registry:
    """A registry whose champion came after release 9; it keeps what it was asked to do."""

    now: int
    asked: list[str] = field(default_factory=list)

    def champion(self) -> int:
        return self.now

    def rollback(self, reason: str, **kept: object) -> None:
        self.now = 9
        self.asked.append("rollback")

    def record(self, action: str, version: int, reason: str, **kept: object) -> None:
        self.asked.append(f"{action} {version}")


@pytest.mark.parametrize(
    ("control", "champion", "asked"),
    [
        ("b", 2, "hold 2"),
        ("b", 1, "rollback"),
        ("a", 1, "hold 1"),
        ("a", 2, "rollback"),
        ("", 1, "hold 1"),  # written before verdicts named their control
        ("", 2, "rollback"),
    ],
)
def test_roll_back_takes_the_champion_back_where_it_is_a_treatment_and_never_the_control(
    control: str, champion: int, asked: str, tmp_path: Path
) -> None:
    verdict = {"kind": "live A/B test", "test": "t", "decision": "rollback", "arm": None}
    verdict |= {"release": None, "reasons": ["worse"], "live": False, "releases": {"a": 1, "b": 2}}
    verdict |= {"control": control} if control else {}
    registry = Registry(champion)
    said = carry_out(registry, tmp_path, verdict, {}, 0.0)
    assert registry.asked == [asked]
    assert f"release {registry.now}" in said
