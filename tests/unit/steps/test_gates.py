"""What a pipeline's steps write to the ledger: each refusal of the gate, in the run's name."""

import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from homefeed.config import Config, StorageConfig, TrainingConfig
from homefeed.data.contract import DatasetSpec, write_dataset
from homefeed.release import Action, GateDecision, ReleaseRegistry
from homefeed.steps.gates import record_refusals
from homefeed.steps.ledger import acting_registry
from pipelines.local import run_pipeline

ACTS = """
import sys
from pathlib import Path
from homefeed.config import Config, StorageConfig
from homefeed.steps.ledger import acting_registry
config = Config(storage=StorageConfig(root=sys.argv[1]))
print("in the name of", acting_registry(config, Path(sys.argv[2]), "a job").run)
"""


@pytest.fixture
def checked(tmp_path: Path) -> Path:
    """The smallest checked data set."""
    rows = {"user_id": [1], "item_id": [7], "action_type": ["like"], "timestamp": [1_000]}
    spec = DatasetSpec(name="shop", files={}, positive=("like",))
    return write_dataset(tmp_path / "checked", spec, {"actions": pl.DataFrame(rows)}).root


def test_what_the_gate_refuses_is_in_the_ledger_and_nothing_moves(
    registry: ReleaseRegistry, make_manifest: Any
) -> None:
    arms = [
        {"arm": name, "release": registry.register(make_manifest(name))}
        for name in ("control", "worse", "better")
    ]
    registry.promote(1, "the first")
    registry.set_challenger(3, "goes into the A/B test")
    before = registry.state()
    registry.run = "ranking-7"
    decisions = {
        "worse": GateDecision(passed=False, reason="HIT@3 falls", figures={"users": 40}),
        "better": GateDecision(passed=True, reason="HIT@3 rises"),
    }
    record_refusals(registry, arms, decisions)
    refused = [entry for entry in registry.history() if entry.action is Action.REFUSE]
    (entry,) = refused
    assert (entry.to_version, entry.reason, entry.run) == (2, "HIT@3 falls", "ranking-7")
    assert entry.verdict["gate"]["figures"] == {"users": 40}
    assert registry.state() == before
    assert registry.promote(3, "it won its test").from_version == 1


def test_a_gate_that_is_run_again_in_its_run_writes_no_refusal_twice(
    registry: ReleaseRegistry, make_manifest: Any
) -> None:
    arms = [{"arm": "worse", "release": registry.register(make_manifest("worse"))}]

    def gate(run: str, users: int = 40) -> list[tuple[str, int]]:
        """Record in the name of ``run``; the runs and the users of all refusals until now."""
        registry.run = run
        figures = {"users": users, "cohorts": {"few": float("nan")}, "range": (0.0, 1.0)}
        refused = GateDecision(passed=False, reason="HIT@3 falls ", figures=figures)
        record_refusals(registry, arms, {"worse": refused})
        entries = [entry for entry in registry.history() if entry.action is Action.REFUSE]
        return [(entry.run, entry.verdict["gate"]["figures"]["users"]) for entry in entries]

    assert gate("ranking-7") == gate("ranking-7") == [("ranking-7", 40)]
    assert gate("ranking-8") == [("ranking-7", 40), ("ranking-8", 40)]
    assert gate("ranking-7", users=41)[2:] == [("ranking-7", 41)]  # other figures are news
    gate("")
    assert gate("")[3:] == [("", 40), ("", 40)], "without a run nothing tells two of them apart"


def test_on_a_cluster_a_step_acts_for_its_job(tmp_path: Path, checked: Path) -> None:
    config = Config(storage=StorageConfig(root=str(tmp_path / "workspace")))
    assert acting_registry(config, checked, "job-1").run == "job-1"


def test_on_this_machine_a_step_acts_for_the_run_as_it_is_listed(
    tmp_path: Path, checked: Path
) -> None:
    workspace = tmp_path / "workspace"
    config = Config(
        storage=StorageConfig(root=str(workspace)), training=TrainingConfig(num_workers=0)
    )
    child = (sys.executable, "-c", ACTS, str(workspace), str(checked))
    run = run_pipeline("ranking", {}, config, "", lambda *_: None, child=child)
    log = (workspace / "runs" / run.run_id / "log.txt").read_text()
    assert f"in the name of {run.run_id}\n" in log
