"""An A/B test on a log whose users nobody can ask: the arms put recorded lists in order."""

import json
from pathlib import Path

import numpy as np
import pytest

from homefeed.artifacts import read_json, write_json
from homefeed.data.contract import write_dataset
from homefeed.data.ranking_rows import EVALUATION
from homefeed.steps.abtests import analyse_step, start_step
from homefeed.steps.ranking import SCORES

ARMS = [
    {"arm": name, "release": number}
    for number, name in enumerate(("control", "pinnerformer", "realtime"), start=1)
]


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        (("actions",), "= a recorded log without impressions: the arms are not compared\n"),
        (("actions", "impressions"), "= a recorded log: the arms are compared by a paired"),
    ],
)
def test_the_start_says_how_the_arms_will_be_compared(
    tables, said, dataset, tmp_path: Path, capsys
) -> None:
    kept = write_dataset(tmp_path / "kept", dataset.spec, {t: dataset.scan(t) for t in tables})
    write_json(tmp_path / "releases.json", {"arms": ARMS})
    config = json.dumps({"storage": {"root": str(tmp_path / "workspace")}})
    start_step(kept.root, tmp_path / "releases.json", "tiny", config, tmp_path / "started.json")
    assert said in capsys.readouterr().out


def best_hits(training_set) -> float:
    """HIT@3 of the best order, written out: by request, then by user, then of all users."""
    of_user: dict[int, list[int]] = {}
    for request in training_set.requests_of(EVALUATION):
        rows = training_set.rows_of(np.array([request]))
        likes = int(training_set.labels[rows][:, training_set.meta.heads.index("like")].sum())
        if len(rows) > 3 and 0 < likes < len(rows):
            of_user.setdefault(int(training_set.user[request]), []).append(min(likes, 3))
    return float(np.mean([np.mean(hits) for hits in of_user.values()]))


def test_on_a_recorded_log_the_arms_orders_are_compared_and_too_few_users_hold(
    dataset, training_set, tmp_path: Path
) -> None:
    rows = training_set.rows_of(training_set.requests_of(EVALUATION))
    labels = np.asarray(training_set.labels[rows]).astype(np.float32)
    chance = np.random.default_rng(3).normal(size=labels.shape).astype(np.float32)
    (tmp_path / "evaluations").mkdir()
    np.savez(
        tmp_path / "evaluations" / SCORES,
        control=np.stack([0 * chance, chance], axis=1),
        pinnerformer=np.stack([0 * chance, chance], axis=1),
        full=np.stack([0 * chance, 8 * labels - 4], axis=1),
    )
    write_json(tmp_path / "releases.json", {"arms": ARMS})
    config = json.dumps({"storage": {"root": str(tmp_path / "workspace")}})
    started, verdict, piece = (tmp_path / f"{n}.json" for n in ("started", "verdict", "piece"))
    start_step(dataset.root, tmp_path / "releases.json", "tiny", config, started)
    analyse_step(
        *(dataset.root, training_set.path, tmp_path / "evaluations", started),
        *("tiny", config, verdict, piece),
    )
    found = read_json(verdict)
    assert (found["kind"], found["live"], found["decision"]) == ("paired re-ranking", False, "hold")
    assert found["reasons"][1].startswith("realtime: 12 users with lists that count, at least 100")
    shown = {figure["name"]: figure for figure in read_json(piece)["figures"]}
    assert shown["lift of pinnerformer"]["value"] == "+0.0% [+0.0%, +0.0%]"
    best = f"hit@3 like: {best_hits(training_set):.4f} against"
    assert shown["lift of realtime"]["note"].startswith(best)
