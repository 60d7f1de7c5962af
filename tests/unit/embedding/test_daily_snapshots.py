"""Snapshots of a day more, for a store that has grown since its encoders were fitted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from homefeed.config import Config, StorageConfig, TrainingConfig
from homefeed.data.contract import Dataset, write_dataset
from homefeed.data.item_stats import build_item_stats
from homefeed.data.items import load_items
from homefeed.data.sequences.append import append_sequences
from homefeed.data.sequences.build import build_sequences
from homefeed.data.specification import DatasetSpec
from homefeed.errors import PipelineError
from homefeed.models.user_encoders import EncoderOrigin, MeanRecentEncoder
from homefeed.snapshots import Snapshot
from homefeed.steps.daily import of_this_vocabulary
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
    grown = append_sequences(store.path, dataset, tmp_path / "grown")
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


def test_an_item_that_was_only_shown_is_retrieved_once_it_is_created_and_has_a_vector(
    tmp_path: Path,
):
    day_s = (T0_S // DAY_S + 11) * DAY_S
    before_ms, after_ms = (day_s - DAY_S) * 1000, (day_s + DAY_S) * 1000
    content, nothing = [1.0, 2.0], [0.0, 0.0]
    items = {  # id: content, time of creation
        1: ([2.0, 1.0], None),  # acted on
        2: (content, before_ms),
        3: (content, after_ms),  # created later
        4: (content, None),  # nobody knows whether it was there
        5: (nothing, before_ms),
        6: (content, before_ms),  # neither shown nor acted on
    }
    dataset = _shown_log(tmp_path / "shown-log", items, before_ms)
    store = build_sequences(dataset, tmp_path / "shown-store")
    table = load_items(dataset, store.items)
    assert store.meta.item_count == 5
    vectors = np.zeros((6, 2), np.float32)
    vectors[store.items.indices(pl.Series([1, 2, 3, 4]))] = content
    origin = EncoderOrigin(
        items_hash=store.meta.items_hash,
        item_encoder_hash="",
        trained_before_s=day_s,
        action_types=store.meta.action_types,
        surfaces=store.meta.surfaces,
    )
    MeanRecentEncoder(items=vectors, origin=origin).save(tmp_path / "encoder")
    config = Config(
        storage=StorageConfig(root=str(tmp_path / "workspace")),
        training=TrainingConfig(embed_workers=0),
    )
    stats_of = write_stats(build_item_stats(dataset, store, table.created_s), [day_s], tmp_path)
    (made,) = encoder_snapshots(tmp_path / "encoder", store, table, stats_of, [day_s], config)
    snapshot = Snapshot.open(Path(made["path"]))
    assert sorted(snapshot.items.ids(snapshot.index.items)) == [1, 2]
    assert sorted(snapshot.items.ids(np.arange(1, 6))) == [1, 2, 3, 4, 5]


def _shown_log(folder: Path, items: dict, time_ms: int) -> Dataset:
    """Item 1 is acted on, items 1 to 5 are shown, and the table describes ``items``."""
    actions = pl.DataFrame(
        {"user_id": [1], "item_id": [1], "action_type": ["like"], "timestamp": [time_ms + 60_000]}
    )
    shown = pl.DataFrame(
        {
            "request_id": ["r"] * 5,
            "user_id": [1] * 5,
            "item_id": [1, 2, 3, 4, 5],
            "timestamp": [time_ms] * 5,
            "position": [1, 2, 3, 4, 5],
            "like": [1, 0, 0, 0, 0],
        }
    )
    content, created_at = zip(*items.values(), strict=True)
    described = pl.DataFrame(
        {"item_id": list(items), "content": list(content), "created_at": list(created_at)}
    )
    tables = {"actions": actions, "impressions": shown, "items": described}
    return write_dataset(folder, replace(SPEC, files={}, labels=("like",)), tables)


def test_an_encoder_of_another_numbering_keeps_its_snapshots_and_the_others_go_on(
    tmp_path: Path, store, encoder_folders, capsys
):
    fitting, other = encoder_folders
    found = of_this_vocabulary({"fits": fitting, "older": other}, store)
    assert found == {"fits": fitting}
    assert "= keeps its snapshots: older older: user encoder" in capsys.readouterr().out
    with pytest.raises(PipelineError, match="promote a release that was made since"):
        of_this_vocabulary({"older": other}, store)


@pytest.fixture
def encoder_folders(tmp_path: Path, store) -> tuple[Path, Path]:
    """An encoder of the store's item vocabulary, and one of another."""
    for name, items_hash in (("fits", store.meta.items_hash), ("older", "another")):
        origin = EncoderOrigin(
            items_hash=items_hash,
            item_encoder_hash="",
            trained_before_s=T0_S,
            action_types=store.meta.action_types,
            surfaces=store.meta.surfaces,
        )
        vectors = np.ones((store.meta.item_count + 1, 2), np.float32)
        MeanRecentEncoder(items=vectors, origin=origin).save(tmp_path / name)
    return tmp_path / "fits", tmp_path / "older"


def test_a_days_vectors_are_readable_a_day_after_their_as_of(store, make_encoder, tmp_path: Path):
    days = [(T0_S // DAY_S + day) * DAY_S for day in (4, 5)]
    stats_of = {}
    for day in days:
        stats_of[day] = tmp_path / f"{day}.npy"
        np.save(stats_of[day], np.zeros((store.meta.item_count + 1, 2), np.float32))
    table = load_items(Dataset.open(store.path.parent / "log"), store.items)
    config = Config(
        storage=StorageConfig(root=str(tmp_path / "workspace")),
        training=TrainingConfig(embed_workers=0),
    )
    made = list(encoder_snapshots(make_encoder(), store, table, stats_of, days, config))
    assert [m["created_s"] - m["as_of_s"] for m in made] == [DAY_S, DAY_S]
    assert Snapshot.open(Path(made[0]["path"])).meta.created_s == days[0] + DAY_S
    assert made[1]["embedded"] < made[1]["users"]
