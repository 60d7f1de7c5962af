"""Snapshots of a day more, for a store that has grown since its encoders were fitted."""

from pathlib import Path

import numpy as np
import polars as pl

from homefeed.config import Config, StorageConfig, TrainingConfig
from homefeed.data.contract import write_dataset
from homefeed.data.item_stats import build_item_stats
from homefeed.data.items import load_items
from homefeed.data.sequences.build import build_sequences
from homefeed.data.specification import DatasetSpec
from homefeed.snapshots import Snapshot
from homefeed.steps.snapshots import encoder_snapshots, write_stats

T0_S, DAY_S = 1_600_000_000, 86_400
SPEC = DatasetSpec(name="log", files={"actions": "a"}, positive=("like",), neutral=("view",))


def test_a_new_item_gets_a_row_in_the_snapshot_and_no_place_in_its_index(
    store, make_encoder, tmp_path: Path
):
    first_day = (T0_S // DAY_S + 11) * DAY_S
    actions = pl.DataFrame(
        {
            "user_id": [1, 2],
            "item_id": [999, 5],
            "action_type": ["like", "like"],
            "timestamp": [first_day * 1000 - 60_000, first_day * 1000 - 30_000],
        }
    )
    dataset = write_dataset(tmp_path / "grown-log", SPEC, {"actions": actions})
    vocabulary = store.path / "vocabulary"
    grown = build_sequences(dataset, tmp_path / "grown", previous=vocabulary)
    table = load_items(dataset, grown.items)
    stats = build_item_stats(dataset, grown, table.created_s)
    config = Config(
        storage=StorageConfig(root=str(tmp_path / "workspace")),
        training=TrainingConfig(embed_workers=0),
    )
    folder = make_encoder("mean_recent")
    stats_of = write_stats(stats, [first_day], tmp_path)
    (made,) = encoder_snapshots(folder, grown, table, stats_of, [first_day], config)
    snapshot, new = Snapshot.open(Path(made["path"])), int(grown.items.index(999))
    assert snapshot.item_vectors.shape[0] == snapshot.item_stats.shape[0] == new + 1
    assert not snapshot.item_vectors[new].any()
    assert new not in np.asarray(snapshot.index.items)
    assert int(grown.items.index(5)) in np.asarray(snapshot.index.items)
