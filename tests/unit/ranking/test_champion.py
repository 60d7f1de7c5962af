"""The champion is scored on a holdout that it was not made with, as it would have served."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest
import torch

from homefeed.artifacts import read_json, write_json
from homefeed.data.build_training_set import build_training_set
from homefeed.data.contract import write_dataset
from homefeed.data.item_stats import build_item_stats
from homefeed.data.ranking_rows import EVALUATION
from homefeed.data.sequences import SequenceStore, build_sequences
from homefeed.errors import ArtifactError, ReleaseError
from homefeed.evaluation.ranking import predict
from homefeed.models.config import variant
from homefeed.models.item_encoders import ItemEncoder
from homefeed.models.ranker import Ranker
from homefeed.models.ranker_artifact import save_ranker
from homefeed.models.ranker_batch import ItemTables
from homefeed.models.ranker_description import RankerInputs
from homefeed.models.user_encoders import EncoderOrigin, MeanRecentEncoder
from homefeed.release import Part, Release, ReleaseManifest
from homefeed.steps.champion import score_release
from homefeed.steps.gates import gate_step
from homefeed.steps.releases import ARMS
from homefeed.training.ranker_batches import RankerData

from .conftest import DAY_S

KIND, RECENT, WIDTH = "mean_recent", 3, 6


def _store_of_first_minute(dataset, folder: Path, **changes: pl.Expr) -> SequenceStore:
    """The store of the log's first minute, with ``changes`` of its columns."""
    until_ms = (6 * 3600 + 4) * 1000
    tables = {
        name: dataset.scan(name).filter(pl.col("timestamp") < until_ms).collect()
        for name in ("actions", "impressions")
    }
    kept = {
        name: table.select(dataset.columns(name)).with_columns(**changes)
        for name, table in tables.items()
    }
    made = write_dataset(folder / "dataset", dataset.spec, kept)
    return build_sequences(made, folder / "sequences")


@pytest.fixture(scope="module")
def earlier(dataset, tmp_path_factory):
    """A store whose vocabulary is extended by that of the whole log."""
    return _store_of_first_minute(dataset, tmp_path_factory.mktemp("earlier"))


@pytest.fixture
def holdout(dataset, store, timeline, tmp_path):
    """A training set whose vectors were made by an encoder of another fit, a day old."""
    created = np.full(store.meta.item_count + 1, -1, np.int64)
    stats = build_item_stats(dataset, store, created)
    made = build_training_set(dataset, store, stats, timeline, tmp_path / "training_set")
    as_of_s = made.time_s // DAY_S * DAY_S - DAY_S
    as_of_s[::7] = 0  # some users have no vector
    made.add_user_vectors(KIND, np.ones((len(as_of_s), 4), np.float32), as_of_s, "another fit")
    return made


class Made(NamedTuple):
    """A release, and the parts that it was made of."""

    release: Release
    ranker: Ranker
    vectors: np.ndarray  # float32 [I+1, 5] of the item encoder
    match: np.ndarray  # float32 [I+1, WIDTH] of the user encoder
    encoder: MeanRecentEncoder


@pytest.fixture
def champion(earlier, holdout, workspace, tmp_path):
    """Makes a release of the earlier log with random parts; ``changes`` are of the ranker.

    It learned until ``later_s`` after the challengers did.
    """

    def make(made_from=earlier, later_s=0, **changes) -> Made:
        generator = np.random.default_rng(5)
        shape = made_from.meta.item_count + 1
        vectors = generator.normal(size=(shape, 5)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors[0] = 0
        items = ItemEncoder(
            kind="svd", vectors=vectors, before_s=1, seed=0, items_hash=made_from.meta.items_hash
        )
        items.save(tmp_path / "item_encoder")
        match = generator.normal(size=(shape, WIDTH)).astype(np.float32)
        match[0] = 0
        meta = holdout.meta
        origin = EncoderOrigin(
            items_hash=made_from.meta.items_hash,
            item_encoder_hash=items.hash,
            trained_before_s=1,
            action_types=meta.action_types,
            surfaces=meta.surfaces,
        )
        encoder = MeanRecentEncoder(items=match, origin=origin, recent=RECENT)
        encoder.save(tmp_path / "user_encoder")
        inputs = {
            **{"heads": meta.heads, "stats": meta.stats, "surfaces": meta.surfaces},
            **{"action_types": meta.action_types, "item_count": made_from.meta.item_count},
            **{"vector_dim": 5, "user_vector_dim": WIDTH, "negative": meta.negative},
        }
        torch.manual_seed(4)
        ranker = Ranker(variant("full", user_vector=KIND), RankerInputs(**(inputs | changes)))
        with torch.no_grad():
            for parameter in ranker.parameters():
                parameter.normal_(std=0.3)
        window = {"timeline": {"t1_s": meta.timeline["t1_s"] + later_s}}
        save_ranker(ranker, tmp_path / "ranker", bound_to=window, training={})
        hashes = {"item_encoder": items.hash, "user_encoder": encoder.hash}
        hashes |= {"ranker": read_json(tmp_path / "ranker" / "ranker.json")["hash"]}
        parts = {
            role: Part.of(tmp_path / role, name=role, version=1, hash=digest, workspace=workspace)
            for role, digest in hashes.items()
        }
        manifest = ReleaseManifest(
            **parts,
            **{"preprocessing_hash": "", "users_hash": "", "code_version": "", "realtime": True},
            **{"items_hash": made_from.meta.items_hash, "dataset": "toy"},
            **{"dataset_fingerprint": "", "heads": meta.heads},
        )
        return Made(
            Release(version=3, manifest=manifest, workspace=workspace),
            ranker.eval(),
            vectors,
            match,
            encoder,
        )

    return make


def _padded(table: np.ndarray, count: int) -> np.ndarray:
    return np.concatenate([table, np.zeros((count + 1 - len(table), table.shape[1]), np.float32)])


def _mean_of_recent(store, match: np.ndarray, user: int, as_of_s: int) -> np.ndarray:
    """Slow and obvious: the mean of the user's last positives on items that have a vector."""
    rows = range(store.start[user], store.start[user] + store.length[user])
    items = [
        int(store.item[row])
        for row in rows
        if store.available_s(np.array([row]))[0] <= as_of_s and store.item[row] < len(match)
    ]
    total = match[items[-RECENT:]].sum(axis=0) if items else np.zeros(WIDTH, np.float32)
    return total / max(np.linalg.norm(total), 1e-12)


def test_it_is_scored_with_its_own_vectors_as_of_the_challengers_moments(
    champion, earlier, holdout, store
) -> None:
    assert earlier.meta.item_count < store.meta.item_count
    made = champion()
    requests = holdout.requests_of(EVALUATION)
    _, as_of_s = holdout.user_vectors(KIND)
    vectors = np.zeros((len(as_of_s), WIDTH), np.float32)
    for request in requests[as_of_s[requests] > 0]:
        user = int(holdout.user[request])
        vectors[request] = _mean_of_recent(store, made.match, user, int(as_of_s[request]))
    assert np.any(vectors[requests])
    data = RankerData(holdout, store, [KIND])
    data.vectors[KIND] = vectors, as_of_s
    unit = made.encoder.item_vectors()
    count = store.meta.item_count
    tables = ItemTables(vectors=_padded(made.vectors, count), match={KIND: _padded(unit, count)})
    expected = predict(made.ranker.bind(tables), data, requests)
    found = score_release(made.release, holdout, store)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert np.ptp(found[:, 1]) > 0


def test_vectors_that_were_joined_from_its_own_encoder_are_read_as_they_are(
    champion, holdout, store
) -> None:
    made = champion()
    _, as_of_s = holdout.user_vectors(KIND)
    other = np.random.default_rng(1).normal(size=(len(as_of_s), WIDTH)).astype(np.float32)
    holdout.add_user_vectors(KIND, other, np.asarray(as_of_s), made.release.encoder_hash)
    as_joined = score_release(made.release, holdout, store)
    holdout.add_user_vectors(KIND, other, np.asarray(as_of_s), "another fit")
    assert not np.allclose(score_release(made.release, holdout, store), as_joined)


def test_a_log_that_does_not_go_on_from_its_own_is_refused(
    champion, dataset, holdout, store, tmp_path
) -> None:
    other = _store_of_first_minute(dataset, tmp_path / "other", item_id=pl.col("item_id") + 1)
    with pytest.raises(ArtifactError, match="does not extend it"):
        score_release(champion(made_from=other).release, holdout, store)


def test_what_learned_from_days_of_the_holdout_is_not_judged_on_them(
    champion, holdout, store
) -> None:
    with pytest.raises(ReleaseError, match=r"release 3 learned from days of the holdout, from "):
        score_release(champion(later_s=1).release, holdout, store)


@pytest.mark.parametrize(
    ("name", "value"), [("heads", ("like",)), ("action_types", ("", "view")), ("stats", ("a",))]
)
def test_columns_that_mean_something_else_are_refused_by_name(
    champion, holdout, store, name, value
) -> None:
    made = champion(**{name: value})
    with pytest.raises(ReleaseError, match=f"release 3 has the {name.replace('_', ' ')} "):
        score_release(made.release, holdout, store)


@pytest.fixture
def gate(champion, holdout, store, dataset, registry, workspace, tmp_path):
    """The gate of a run on the grown log, with the earlier log's champion; its decisions."""

    def decide(**changes) -> dict:
        made = champion(**changes)
        registry.promote(registry.register(made.release.manifest), "the first")
        rows = holdout.rows_of(holdout.requests_of(EVALUATION))
        labels = np.asarray(holdout.labels[rows]).astype(np.float32)
        best = np.stack([np.zeros_like(labels), labels], axis=1)
        np.savez(tmp_path / "scores.npz", **{arm.ranker: best for arm in ARMS})
        arms = [{"arm": arm.name, "release": 1} for arm in ARMS]
        write_json(tmp_path / "releases.json", {"arms": arms})
        config = json.dumps({"storage": {"root": str(workspace)}})
        places = (dataset.root, store.path, holdout.path, tmp_path, tmp_path / "releases.json")
        gate_step(*places, config, tmp_path / "out", tmp_path / "piece")
        return read_json(tmp_path / "out")

    return decide


def test_a_challenger_on_a_grown_log_is_compared_with_the_champion_of_the_log_before(gate) -> None:
    decisions = gate()
    assert list(decisions) == ["pinnerformer", "realtime"]
    for decision in decisions.values():
        assert decision["passed"]  # it knows the labels
        assert decision["figures"]["difference"]["low"] > 0


def test_a_champion_that_cannot_be_scored_keeps_its_place_and_the_reason_says_why(gate) -> None:
    decision = gate(stats=("a",))["realtime"]
    assert not decision["passed"]
    assert decision["reason"].startswith(
        "champion 1 cannot be scored on this holdout: release 1 has the stats a, the holdout "
    )
