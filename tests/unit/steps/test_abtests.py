"""What a verdict asks for is done once; roll back moves a champion that lost, and no other."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from homefeed.abtest.definition import Definition, parse_definition
from homefeed.abtest.running import STOPPED, start_test, state_of, stop_test
from homefeed.artifacts import read_json, write_json
from homefeed.config import Config, StorageConfig
from homefeed.data.contract import DatasetSpec, write_dataset
from homefeed.recipes import config_json
from homefeed.release.entries import Action, LedgerEntry
from homefeed.steps import abtests
from homefeed.steps.abtests import carry_out, start_step
from serving.event_log import EventLog
from serving.logged import Exposure


@dataclass
class Registry:
    """A registry whose champion came after release 9; it keeps what it was asked to do."""

    now: int
    asked: list[str] = field(default_factory=list)
    run: str = ""
    entries: list[LedgerEntry] = field(default_factory=list)

    def history(self) -> list[LedgerEntry]:
        return self.entries

    def champion(self) -> int:
        return self.now

    def rollback(self, reason: str, **kept: Any) -> None:
        self.now = 9
        self.asked.append("rollback")
        self._enter(Action.ROLLBACK, 9, reason, kept)

    def promote(self, version: int, reason: str, **kept: Any) -> None:
        self.now = version
        self.asked.append(f"promote {version}")
        self._enter(Action.PROMOTE, version, reason, kept)

    def record(self, action: Action, version: int, reason: str, **kept: Any) -> None:
        self.asked.append(f"{action} {version}")
        self._enter(action, version, reason, kept)

    def _enter(self, action: Action, version: int, reason: str, kept: dict[str, Any]) -> None:
        about = {"from_version": self.now, "to_version": version, "verdict": kept["verdict"]}
        about |= {"seq": len(self.entries) + 1, "at_s": 0.0, "who": "me", "reason": reason}
        about |= {"run": self.run}
        self.entries.append(LedgerEntry(action=action, **about))


@pytest.mark.parametrize(
    ("control", "champion", "asked"),
    [
        ("b", 2, "hold 2"),
        ("b", 1, "rollback"),
        ("a", 1, "hold 1"),
        ("a", 2, "rollback"),
    ],
)
def test_roll_back_takes_the_champion_back_where_it_is_a_treatment_and_never_the_control(
    control: str, champion: int, asked: str, tmp_path: Path
) -> None:
    verdict = {"kind": "live A/B test", "test": "t", "decision": "rollback", "arm": None}
    verdict |= {"release": None, "reasons": ["worse"], "live": False, "control": control}
    verdict |= {"releases": {"a": 1, "b": 2}}
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


def test_a_re_ranking_of_a_recorded_log_is_noted_once_in_each_run(tmp_path: Path) -> None:
    registry = Registry(2)
    verdict = {"kind": "paired re-ranking", "test": "t", "decision": "hold", "arm": None}
    verdict |= {"release": None, "reasons": ["no difference"], "live": False}
    said = []
    for registry.run in ("one", "one", "two", "", ""):
        said.append(carry_out(registry, tmp_path, verdict, {}, 0.0))
    assert registry.asked == ["hold 2"] * 4  # without a run nothing tells two of them apart
    assert said[1] == "already carried out (ledger entry 1: hold 2)"


def test_a_step_that_is_run_again_does_not_roll_back_twice(tmp_path: Path) -> None:
    registry = Registry(2, run="one")
    verdict = {"kind": "paired re-ranking", "test": "t", "decision": "rollback", "arm": None}
    verdict |= {"release": None, "reasons": ["worse"], "live": False}
    verdict |= {"releases": {"a": 1, "b": 2, "c": 9}, "control": "a"}
    for _ in range(2):
        carry_out(registry, tmp_path, verdict, {}, 0.0)
    assert registry.asked == ["rollback"]


@pytest.mark.parametrize("gated", [False, True])
def test_an_arm_that_was_never_compared_with_the_champion_does_not_replace_it(
    gated: bool, tmp_path: Path
) -> None:
    registry = Registry(5)
    verdict = {"kind": "live A/B test", "test": "t", "decision": "ship", "arm": "b", "release": 3}
    verdict |= {"reasons": ["better"], "live": False, "champion": 5, "control": "a"}
    verdict |= {"releases": {"a": 2, "b": 3}}
    decisions = {"b": {"passed": True, "reason": "better on the holdout"}} if gated else {}
    said = carry_out(registry, tmp_path, verdict, decisions, 0.0)
    assert registry.asked == (["promote 3"] if gated else ["hold 5"])
    assert ("its control is release 2, not the champion 5" in said) is not gated


END_S = 1_000_000  # of the world's log: where its clock stands
VALUES = {"arms": {"a": {"release": 1}, "b": {"release": 2}}, "primary": {"name": "requests"}}


@pytest.fixture
def start_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """Start the test of a run on a world whose log ends at ``END_S``; its name. No server waits."""

    def start_unwatched(workspace: Path, definition: Definition, url: str, **began: Any) -> None:
        start_test(workspace, definition, **began)

    monkeypatch.setattr(abtests, "start_and_wait", start_unwatched)
    rows = {"user_id": [1], "item_id": [7], "action_type": ["like"], "timestamp": [1]}
    spec = DatasetSpec(name="world", files={}, positive=("like",), live=True, span=(0, END_S))
    write_dataset(tmp_path / "checked", spec, {"actions": pl.DataFrame(rows)})
    arms = [{"arm": "control", "release": 1}, {"arm": "new", "release": 2}]
    write_json(tmp_path / "releases.json", {"arms": arms})
    config = config_json(Config(storage=StorageConfig(root=str(tmp_path / "workspace"))))

    def start() -> str:
        out, checked = tmp_path / "started.json", tmp_path / "checked"
        start_step(checked, tmp_path / "releases.json", "tiny", config, out)
        return read_json(out)["test"]

    return start


def test_a_test_that_a_broken_off_run_left_ends_after_what_it_showed(
    start_run: Callable[[], str], tmp_path: Path
) -> None:
    workspace = tmp_path / "workspace"
    left = start_run()
    shown = {"request_id": "r", "endpoint": "feed", "user_id": "i:1", "test": left, "arm": "new"}
    EventLog(workspace / "events.db").append(
        exposures=[Exposure(**shown, time_ms=1000 * END_S + 60_000)]
    )
    assert start_run() == "lifecycle-2"
    state = state_of(workspace, left)
    assert (state.status, state.stopped_s) == (STOPPED, END_S + 61)


def test_a_runs_test_gets_a_new_name_where_an_earlier_one_was_removed(
    start_run: Callable[[], str], tmp_path: Path
) -> None:
    workspace = tmp_path / "workspace"
    start_test(workspace, parse_definition({**VALUES, "name": "mine", "layer": "x"}), at_s=0.0)
    names = [start_run(), start_run()]
    stop_test(workspace, names[1], at_s=END_S, reason="seen enough")
    (workspace / "abtests" / f"{names[0]}.state.json").unlink()
    assert [*names, start_run()] == ["lifecycle-1", "lifecycle-2", "lifecycle-3"]
