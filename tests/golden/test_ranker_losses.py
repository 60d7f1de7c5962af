"""Ten seeded steps of the rankers' training give the losses that lie beside this file.

One thread, float32, one worker; a ranker with a sequence and one without, from impressions to the
loss. A change of rows, features, network, loss or optimiser shows here; where it is meant:
``pytest tests/golden --update-golden``.
"""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from homefeed.data.build_training_set import build_training_set
from homefeed.data.contract import Dataset, DatasetSpec, write_dataset
from homefeed.data.item_stats import build_item_stats
from homefeed.data.sequences import build_sequences
from homefeed.data.splits import Timeline
from homefeed.models.config import TransActConfig, variant
from homefeed.models.ranker_batch import ItemTables
from homefeed.training.fit_ranker import RankerFit
from homefeed.training.ranker_config import RankerFitConfig
from homefeed.training.workers import Worker

TOLERANCE = 1e-4  # float32 on another processor rounds sums in another order
STEPS, USERS, ITEMS, DAYS = 10, 20, 30, 10
DAY_S = 86_400

SMALL = TransActConfig(item_dim=8, action_dim=4, ffn_dim=8, first_k=3, output_dim=8, dropout=0.1)
CONFIG = RankerFitConfig(
    rankers=(
        variant("full", user_vector="none", transact=SMALL, hidden=(16,)),
        variant("no_sequence", user_vector="none", transact=SMALL, hidden=(16,)),
    ),
    batch_rows=64,
    shard_rows=32,
    learning_rate=0.01,
    level_epochs=0.05,
)


def _log(folder: Path) -> Dataset:
    """Lists of five items, two a day; users like the items of their own third."""
    number = np.arange(USERS * DAYS * 2 * 5)
    place, request = number % 5, number // 5
    user, turn = request % USERS, request // USERS
    item = (user * 7 + turn * turn * 3 + place * 11) % ITEMS
    time_ms = (turn * DAY_S // 2 + user * 60) * 1000
    like = (item % 3 == user % 3).astype(np.int8)
    shown = pl.DataFrame(
        {
            "request_id": [f"r{r}" for r in request],
            "user_id": user,
            "item_id": item,
            "timestamp": time_ms,
            "position": place + 1,
            "surface": "home",
            "like": like,
        }
    ).sort("timestamp", maintain_order=True)
    actions = shown.filter(pl.col("like") == 1).select(
        "user_id",
        "item_id",
        "surface",
        pl.lit("like").alias("action_type"),
        pl.col("timestamp") + 1000 * pl.col("position"),
    )
    spec = DatasetSpec(
        name="golden", files={}, positive=("like",), labels=("like",), primary_label="like"
    )
    return write_dataset(folder / "set", spec, {"actions": actions, "impressions": shown})


def test_ten_seeded_steps_give_the_golden_losses(tmp_path: Path, golden: Any) -> None:
    dataset = _log(tmp_path)
    store = build_sequences(dataset, tmp_path / "store")
    created_s = np.full(store.meta.item_count + 1, -1, np.int64)
    stats = build_item_stats(dataset, store, created_s)
    timeline = Timeline(t0_s=4 * DAY_S, t1_s=8 * DAY_S, t2_s=10 * DAY_S)
    training_set = build_training_set(dataset, store, stats, timeline, tmp_path / "training_set")
    vectors = np.random.default_rng(0).standard_normal((store.meta.item_count + 1, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)  # as item encoders give them
    tables = ItemTables(vectors=vectors.astype(np.float32), match={})
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        fit = RankerFit(CONFIG, training_set, store, tables, worker=Worker())
        losses = np.array([[float(x) for x in fit.train_step().values()] for _ in range(STEPS)])
    finally:
        torch.set_num_threads(threads)
    text = "".join(" ".join(f"{loss:.6f}" for loss in step) + "\n" for step in losses)
    golden_text = golden("losses/rankers.txt", text)
    expected = [[float(loss) for loss in line.split()] for line in golden_text.splitlines()]
    np.testing.assert_allclose(losses, expected, rtol=TOLERANCE, atol=0)
    assert (losses[-3:].mean(axis=0) < losses[:3].mean(axis=0)).all(), "ten steps learn something"
