"""Rankers under Ray Train: two workers give what one process gives."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from homefeed.data.build_training_set import build_training_set
from homefeed.data.contract import Dataset, DatasetSpec, write_dataset
from homefeed.data.item_stats import build_item_stats
from homefeed.data.sequences import SequenceStore, build_sequences
from homefeed.data.splits import Timeline
from homefeed.data.training_set import TrainingSet
from homefeed.models.ranker import variant
from homefeed.models.ranker_artifact import load_ranker
from homefeed.models.ranker_batch import ItemTables
from homefeed.models.transact import TransActConfig
from homefeed.training.ranker_config import RankerFitConfig
from homefeed.training.ray import METRICS_FILE, RayRun, ray_session
from homefeed.training.ray_rankers import train_rankers_with_ray
from homefeed.training.resources import TrainingResources

pytestmark = [pytest.mark.integration, pytest.mark.slow]

DAY_S, USERS, ITEMS = 86_400, 10, 20
SMALL = TransActConfig(item_dim=4, action_dim=4, ffn_dim=8, first_k=3, output_dim=6)
COMMON = {"user_vector": "none", "transact": SMALL, "hidden": (8,)}
CONFIG = RankerFitConfig(
    rankers=(variant("full", **COMMON), variant("no_sequence", **COMMON)),
    **{"batch_rows": 60, "shard_rows": 15, "epochs": 2.0, "level_epochs": 0.25},
    **{"report_every": 3, "checkpoint_every": 3},
)


@pytest.fixture(scope="module")
def ray() -> Iterator[None]:
    with ray_session(num_cpus=2, object_store_mb=200):
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[SequenceStore, TrainingSet]:
    """Eight days of requests of five items; even items are liked now and then."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("log")
    shown = pl.DataFrame(
        [
            {
                **{"request_id": f"{day}-{user}", "user_id": user, "item_id": int(item)},
                **{"timestamp": 1000 * (day * DAY_S + 7_200 + user), "position": place + 1},
                "like": int(item % 2 == 0 and rng.random() < 0.6),
            }
            for day in range(8)
            for user in range(USERS)
            for place, item in enumerate(rng.choice(ITEMS, 5, replace=False))
        ]
    )
    liked = shown.filter(pl.col("like") == 1).select(
        "user_id", "item_id", pl.col("timestamp") + 5_000, action_type=pl.lit("like")
    )
    spec = DatasetSpec(
        **{"name": "toy", "files": {}, "positive": ("like",), "labels": ("like",)},
        **{"primary_label": "like"},
    )
    dataset: Dataset = write_dataset(
        folder / "dataset", spec, {"actions": liked, "impressions": shown}
    )
    store = build_sequences(dataset, folder / "store")
    stats = build_item_stats(dataset, store, np.full(store.meta.item_count + 1, -1, np.int64))
    line = Timeline(t0_s=2 * DAY_S, t1_s=6 * DAY_S, t2_s=8 * DAY_S)
    return store, build_training_set(dataset, store, stats, line, folder / "set")


def _train(made: tuple[SequenceStore, TrainingSet], folder: Path, workers: int) -> list[dict]:
    store, training_set = made
    vectors = np.random.default_rng(1).normal(size=(store.meta.item_count + 1, 8))
    resources = TrainingResources(num_workers=workers)
    return train_rankers_with_ray(
        CONFIG,
        training_set.path,
        store.path,
        ItemTables(vectors=vectors.astype(np.float32), match={}),
        folder / f"{workers}",
        bound_to={"item_encoder_hash": "none"},
        run=RayRun(name=f"run-{workers}", storage=folder, resources=resources),
    )


@pytest.mark.timeout(600)
def test_two_ray_workers_and_one_process_give_the_same_rankers(ray, made, tmp_path) -> None:
    alone, together = (_train(made, tmp_path, workers) for workers in (0, 2))
    assert [m["step"] for m in together] == [m["step"] for m in alone]
    assert len(alone) > 2
    for name in ("full", "no_sequence"):
        losses = ([m[f"loss_{name}"] for m in each] for each in (together, alone))
        np.testing.assert_allclose(*losses, rtol=1e-4)
        ours, theirs = (load_ranker(tmp_path / n / name).state_dict() for n in ("0", "2"))
        assert ours.keys() == theirs.keys()
        for key, value in ours.items():
            np.testing.assert_allclose(theirs[key], value, atol=2e-3, err_msg=key)
    assert (tmp_path / "run-2" / METRICS_FILE).exists()
