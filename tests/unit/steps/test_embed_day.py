"""A day's snapshot: whose vectors of the day before are still theirs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from homefeed.artifacts import write_json
from homefeed.config import Config, StorageConfig
from homefeed.data.contract import Dataset, DatasetSpec, write_dataset
from homefeed.data.item_stats import build_item_stats
from homefeed.data.items import ItemTable
from homefeed.data.sequences import SequenceStore, build_sequences
from homefeed.embedding import embed_day
from homefeed.models.user_encoders import EncoderOrigin, MeanRecentEncoder, load_user_encoder
from homefeed.recipes import config_json
from homefeed.release.opened import newest_snapshot
from homefeed.steps import daily
from homefeed.steps.snapshots import encoder_snapshots, write_stats

DAY_S = 86_400
YESTERDAY_S = 20_000 * DAY_S  # the midnight that ended it
TODAY_S = YESTERDAY_S + DAY_S
Rows = list[tuple[str, int, int]]  # user, item, seconds
OLD: Rows = [
    (f"u{number % 5}", 1 + number % 7, YESTERDAY_S - 9_000 + 60 * number) for number in range(40)
]
NEW: Rows = [("u1", 3, YESTERDAY_S + 500)]


@pytest.fixture
def log(tmp_path) -> Callable[[str, Rows], Dataset]:
    """Write rows as a data set."""

    def write(name: str, rows: Rows) -> Dataset:
        spec = DatasetSpec(name="shop", files={}, positive=("like",))
        frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
        liked = frame.with_columns(pl.col("timestamp") * 1000, action_type=pl.lit("like"))
        return write_dataset(tmp_path / name, spec, {"actions": liked})

    return write


@pytest.fixture
def embed_today(tmp_path, log, monkeypatch) -> Callable[..., tuple[dict, dict]]:
    """Publish yesterday from ``OLD``, then embed today from ``rows`` so far and those of today.

    Returns the vectors by typed user id, and those that the encoder makes from scratch.
    """
    config = Config(storage=StorageConfig(root=str(tmp_path / "workspace")))
    dataset = log("old", OLD)
    store = build_sequences(dataset, tmp_path / "old-store")
    folder = _encoder(store, tmp_path / "encoder")
    table = ItemTable.empty(store.meta.item_count)
    stats = build_item_stats(dataset, store, table.created_s)
    stats_of = write_stats(stats, [YESTERDAY_S], tmp_path)
    list(encoder_snapshots(folder, store, table, stats_of, [YESTERDAY_S], config))
    encoder_hash = load_user_encoder(folder).hash
    monkeypatch.setattr(daily, "live_encoders", lambda *_: {encoder_hash: folder})

    def run(rows: Rows, new: Rows = NEW) -> tuple[dict, dict]:
        known = log("known", rows)
        build_sequences(known, tmp_path / "known-store")
        _append(tmp_path, known, log("day", new))
        daily.embed_day_step(
            tmp_path / "appended", config_json(config), tmp_path / "out", tmp_path / "piece"
        )
        made = pl.read_parquet(newest_snapshot(config.workspace, encoder_hash) / "users.parquet")
        after = SequenceStore.open(tmp_path / "appended" / "store")
        scratch, _ = embed_day(folder, after, None, TODAY_S)
        expected = dict(zip(after.users.typed(scratch.user), scratch.vector.tolist(), strict=True))
        return dict(zip(made["user_id"], made["vector"].to_list(), strict=True)), expected

    return run


def _encoder(store: SequenceStore, folder: Path) -> Path:
    items = np.random.default_rng(0).normal(size=(store.meta.item_count + 1, 4))
    origin = EncoderOrigin(
        items_hash=store.meta.items_hash,
        item_encoder_hash="",
        trained_before_s=YESTERDAY_S,
        action_types=store.meta.action_types,
        surfaces=store.meta.surfaces,
    )
    MeanRecentEncoder(items=items.astype(np.float32), origin=origin).save(folder)
    return folder


def _append(folder: Path, known: Dataset, day: Dataset) -> None:
    """What the step before leaves: the day in the store and in the data set."""
    base = {"log": "shop", "as_of_s": YESTERDAY_S, "watermark": 0}
    places = {"checked": str(known.root), "store": str(folder / "known-store")}
    described = {"ends_s": TODAY_S, "base": {**base, **places}}
    (folder / "checked-day").mkdir()
    write_json(folder / "checked-day" / "day.json", described)
    (folder / "checked-day" / "day").symlink_to(day.root)
    daily.append_step(folder / "checked-day", folder / "appended")


def test_where_an_earlier_user_was_added_to_the_log_everybody_gets_their_own_vector(
    embed_today, capsys
):
    backfilled = ("u9", OLD[0][1], OLD[0][2] + 1)
    found, expected = embed_today([OLD[0], backfilled, *OLD[1:]])
    assert found.keys() == expected.keys()
    assert all(found[user] == pytest.approx(expected[user], abs=1e-6) for user in expected)
    assert "= embeds everybody: the snapshot " in capsys.readouterr().out


def test_where_the_log_has_only_grown_those_who_acted_are_embedded(embed_today, capsys):
    found, expected = embed_today(OLD)
    assert found.keys() == expected.keys()
    assert all(found[user] == pytest.approx(expected[user], abs=1e-6) for user in expected)
    told = capsys.readouterr().out
    assert "= 1 of 5 users embedded" in told
    assert "embeds everybody" not in told


def test_items_that_are_newer_than_the_encoder_are_counted(embed_today, capsys):
    embed_today(OLD, new=[*NEW, ("u2", 98, YESTERDAY_S + 600), ("u3", 99, YESTERDAY_S + 700)])
    assert "= not retrieved: 2 items have no vector of encoder" in capsys.readouterr().out


def test_where_every_item_has_a_vector_none_is_told_to_be_missing(embed_today, capsys):
    embed_today(OLD)
    assert "not retrieved" not in capsys.readouterr().out
