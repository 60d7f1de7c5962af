"""The promotion gate of a run: the champion is scored again on the challengers' holdout."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from homefeed.artifacts import read_json, write_json
from homefeed.config import GateConfig
from homefeed.data.contract import Dataset
from homefeed.data.ranking_rows import EVALUATION
from homefeed.data.sequences import SequenceStore
from homefeed.data.training_set import TrainingSet
from homefeed.devices import device_or_cpu
from homefeed.errors import ArtifactError, ReleaseError
from homefeed.evaluation.ranking import RankingReport, compare_scores
from homefeed.recipes import read_config
from homefeed.release.entries import Action, LedgerEntry
from homefeed.release.gate import (
    GateDecision,
    GateRule,
    decide,
    not_compared,
    without_champion,
)
from homefeed.release.registry import ReleaseRegistry
from homefeed.report.piece import Figure, Piece, Table
from homefeed.steps.champion import score_release
from homefeed.steps.ledger import acting_registry
from homefeed.steps.ranking import SCORES, judged_heads
from homefeed.steps.releases import ARMS

CHAMPION = "champion"
COHORTS = ("few actions", "some actions", "many actions")


def gate_step(
    checked: Path,
    store_path: Path,
    training_set: Path,
    evaluations: Path,
    releases: Path,
    config: str,
    out: Path,
    piece: Path,
    run: str = "",
) -> None:
    """Decide for every arm but control whether it may be promoted over the present champion.

    Each refusal goes to the ledger with its figures, whatever an A/B test finds later.
    """
    where = read_config(config)
    store, opened = SequenceStore.open(store_path), TrainingSet.open(training_set)
    dataset, arms = Dataset.open(checked), read_json(releases)["arms"]
    registry = acting_registry(where, checked, run)
    champion = registry.champion()
    scores, unscored = _challengers(evaluations), "there is no champion yet"
    if champion is not None:
        release = registry.open(champion)
        try:
            # A cluster gives this step no accelerator: it scores one holdout, on any device.
            if (device := device_or_cpu(where.training.device)) != where.training.device:
                print(f"= the champion is scored on {device}: no {where.training.device} here")
            scores[CHAMPION] = score_release(release, opened, store, device)
        except (ArtifactError, ReleaseError) as error:
            unscored = f"champion {champion} cannot be scored on this holdout: {error}"
    report = compare_scores(scores, opened, opened.requests_of(EVALUATION))
    head = judged_heads(dataset, report)[0]
    decisions = {
        arm["arm"]: _decide(where.gate, report, arm["arm"], head, store, champion, unscored)
        for arm in arms[1:]
    }
    write_json(out, {name: decision.to_json() for name, decision in decisions.items()})
    record_refusals(registry, arms, decisions)
    _tell(decisions, f"HIT@3 {head}, champion {champion}", piece)


def _tell(decisions: dict[str, GateDecision], note: str, piece: Path) -> None:
    """Say what was decided about each arm, on the page and in the log."""
    rows = [{"arm": name, "passed": d.passed, "reason": d.reason} for name, d in decisions.items()]
    passed = ", ".join(name for name, d in decisions.items() if d.passed) or "none"
    Piece(
        title="Promotion gate: the champion scored again on the same holdout",
        figures=[Figure(name="gate passed by", value=passed, note=note)],
        tables=[Table(title="Decisions", rows=rows)],
    ).save(piece)
    for row in rows:
        print(f"= {row['arm']}: {'passed' if row['passed'] else 'refused'}: {row['reason']}")


def record_refusals(
    registry: ReleaseRegistry, arms: list[dict[str, Any]], decisions: dict[str, GateDecision]
) -> None:
    """Write each refused arm's release, the reason and the figures to the ledger.

    Once a run: what a run refused before, in a step that is run again, is not written again.
    """
    said = {_told(e.to_version, e.reason, e.verdict) for e in _refusals_of(registry, registry.run)}
    for arm in arms:
        decision = decisions.get(arm["arm"])
        if decision is None or decision.passed:
            continue
        refusal = arm["release"], decision.reason, {"gate": decision.to_json()}
        if _told(*refusal) not in said:
            version, reason, figures = refusal
            registry.record(Action.REFUSE, version, reason, verdict=figures)


def _refusals_of(registry: ReleaseRegistry, run: str) -> list[LedgerEntry]:
    """What the run refused; nothing where no run is named, because two could not be told apart."""
    return [e for e in registry.history() if run and (e.action, e.run) == (Action.REFUSE, run)]


def _told(version: int | None, reason: str, figures: dict[str, Any]) -> str:
    """A refusal as text: as the ledger keeps it, a NaN equal to a NaN."""
    return json.dumps([version, reason.strip(), figures], sort_keys=True)


def _challengers(evaluations: Path) -> dict[str, np.ndarray]:
    with np.load(evaluations / SCORES) as arrays:
        return {arm.name: arrays[arm.ranker] for arm in ARMS}


def _decide(
    config: GateConfig,
    report: RankingReport,
    arm: str,
    head: str,
    store: SequenceStore,
    version: int | None,
    unscored: str,
) -> GateDecision:
    rule = GateRule(metric=f"HIT@3 {head}", **asdict(config))
    challenger = report.figures[arm][head].users
    if version is None:
        return without_champion(rule, challenger.value)
    if CHAMPION not in report.figures:
        return not_compared(rule, challenger.value, unscored)
    champion = report.figures[CHAMPION][head].users
    return decide(rule, champion.value, challenger.value, _cohorts(store, challenger.user))


def _cohorts(store: SequenceStore, users: np.ndarray) -> np.ndarray:
    """Users by how much they act, in thirds; who has no index never does."""
    length = np.asarray(store.length)[np.maximum(users, 0)]
    bounds = np.quantile(length, [1 / 3, 2 / 3]) if len(length) else [0, 0]
    return np.array(COHORTS, object)[np.searchsorted(bounds, length, side="left")]
