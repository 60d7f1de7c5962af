"""A small log with impressions, and small rankers: what the tests of this folder share."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from homefeed.data.contract import Dataset, DatasetSpec, write_dataset
from homefeed.data.sequences import SequenceStore, build_sequences
from homefeed.data.splits import Timeline
from homefeed.models.config import variant
from homefeed.models.ranker import Ranker
from homefeed.models.ranker_batch import ItemTables
from homefeed.models.ranker_description import RankerInputs

DAY_S = 86_400
NUM_ITEMS, NUM_USERS = 30, 12


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def timeline() -> Timeline:
    return Timeline(t0_s=4 * DAY_S, t1_s=8 * DAY_S, t2_s=10 * DAY_S)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Dataset:
    """Ten days: each user makes two requests of five items a day and likes even items."""
    generator = np.random.default_rng(0)
    impressions, actions = [], []
    for day in range(10):
        for user in range(NUM_USERS):
            for hour in (6, 18):
                time_s = day * DAY_S + hour * 3600 + user
                items = generator.choice(NUM_ITEMS, 5, replace=False)
                for place, item in enumerate(items):
                    like = int(item % 2 == 0 and generator.random() < 0.6)
                    row = {
                        "request_id": f"{user}-{time_s}",
                        "user_id": user,
                        "item_id": int(item),
                        "timestamp": time_s * 1000,
                        "position": place + 1,
                        "surface": "home",
                    }
                    impressions.append(row | {"like": like, "hide": int(item == 7)})
                    if like:
                        actions.append(
                            {
                                "user_id": user,
                                "item_id": int(item),
                                "action_type": "like",
                                "timestamp": (time_s + place) * 1000,
                                "surface": "home",
                                "duration_s": 2.0,
                            }
                        )
    spec = DatasetSpec(
        name="toy",
        files={},
        positive=("like",),
        negative=("hide",),
        labels=("like", "hide"),
        primary_label="like",
    )
    tables = {"actions": pl.DataFrame(actions), "impressions": pl.DataFrame(impressions)}
    return write_dataset(tmp_path_factory.mktemp("toy") / "dataset", spec, tables)


@pytest.fixture(scope="session")
def store(dataset, tmp_path_factory) -> SequenceStore:
    return build_sequences(dataset, tmp_path_factory.mktemp("toy") / "sequences")


@pytest.fixture(scope="session")
def training_set(dataset, store, timeline, tmp_path_factory):
    from homefeed.data.build_training_set import build_training_set
    from homefeed.data.item_stats import build_item_stats

    created = np.full(store.meta.item_count + 1, -1, np.int64)
    stats = build_item_stats(dataset, store, created)
    out: Path = tmp_path_factory.mktemp("toy") / "training_set"
    return build_training_set(dataset, store, stats, timeline, out)


@pytest.fixture(scope="session")
def tables(store) -> ItemTables:
    generator = np.random.default_rng(1)
    vectors = generator.normal(size=(store.meta.item_count + 1, 8)).astype(np.float32)
    vectors[0] = 0
    return ItemTables(vectors=vectors, match={"pinnerformer": vectors[:, :6].copy()})


def make_inputs(**changes) -> RankerInputs:
    values = {
        "heads": ("like", "hide"),
        "action_types": ("", "like", "hide"),
        "surfaces": ("", "home"),
        "stats": ("a", "b", "c"),
        "item_count": NUM_ITEMS,
        "vector_dim": 8,
        "user_vector_dim": 6,
        "negative": ("hide",),
    }
    return RankerInputs(**(values | changes))


@pytest.fixture
def item_tables() -> ItemTables:
    generator = np.random.default_rng(2)
    vectors = generator.normal(size=(NUM_ITEMS + 1, 8)).astype(np.float32)
    match = generator.normal(size=(NUM_ITEMS + 1, 6)).astype(np.float32)
    return ItemTables(vectors=vectors, match={"pinnerformer": match, "mean_recent": match})


@pytest.fixture
def ranker(item_tables) -> Ranker:
    """A full ranker with weights large enough that its history matters."""
    torch.manual_seed(3)
    ranker = Ranker(variant("full"), make_inputs())
    with torch.no_grad():
        for parameter in ranker.transact.parameters():
            if parameter.ndim == 2:
                parameter.mul_(2)
        ranker.item_id.weight[1:].normal_(std=0.5)
    return ranker.bind(item_tables).eval()
