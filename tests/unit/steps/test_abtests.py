"""What a verdict asks for is done once; roll back moves a champion that lost, and no other."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from homefeed.abtest.definition import parse_definition
from homefeed.abtest.running import start_test
from homefeed.release.entries import Action, LedgerEntry
from homefeed.steps.abtests import carry_out


@dataclass
class Registry:
    """A registry whose champion came after release 9; it keeps what it was asked to do."""

    now: int
    asked: list[str] = field(default_factory=list)
    entries: list[LedgerEntry] = field(default_factory=list)

    def history(self) -> list[LedgerEntry]:
        return self.entries

    def champion(self) -> int:
        return self.now

    def rollback(self, reason: str, **kept: object) -> None:
        self.now = 9
        self.asked.append("rollback")

    def record(self, action: Action, version: int, reason: str, **kept: Any) -> None:
        self.asked.append(f"{action} {version}")
        about = {"from_version": self.now, "to_version": version, "verdict": kept["verdict"]}
        about |= {"seq": len(self.entries) + 1, "at_s": 0.0, "who": "me", "reason": reason}
        self.entries.append(LedgerEntry(action=action, **about))


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


def test_the_verdict_of_a_live_test_is_carried_out_once_and_each_test_has_its_own(
    tmp_path: Path,
) -> None:
    registry = Registry(2)
    verdict = {"kind": "live A/B test", "decision": "hold", "arm": None, "release": None}
    verdict |= {"reasons": ["no difference"], "live": True}
    values = {"arms": {"a": {"release": 1}, "b": {"release": 2}}, "primary": {"name": "requests"}}
    for name in ("t", "u"):
        start_test(tmp_path, parse_definition({**values, "name": name, "layer": name}), at_s=0.0)
    said = [
        carry_out(registry, tmp_path, {**verdict, "test": name}, {}, 1.0)
        for name in ("t", "t", "u")
    ]
    stays = "hold: release 2 stays the champion"
    assert said == [stays, "already carried out (ledger entry 1: hold 2)", stays]
    assert registry.asked == ["hold 2", "hold 2"]


def test_a_re_ranking_of_a_recorded_log_is_noted_each_time(tmp_path: Path) -> None:
    registry = Registry(2)
    verdict = {"kind": "paired re-ranking", "test": "t", "decision": "hold", "arm": None}
    verdict |= {"release": None, "reasons": ["no difference"], "live": False}
    for _ in range(2):
        carry_out(registry, tmp_path, verdict, {}, 0.0)
    assert registry.asked == ["hold 2", "hold 2"]
