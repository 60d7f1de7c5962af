"""A day's snapshot: whose vectors of the day before are still theirs."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from homefeed.artifacts import read_json, write_json
from homefeed.config import Config, StorageConfig
from homefeed.data.contract import Dataset, DatasetSpec, write_dataset
from homefeed.data.item_stats import build_item_stats
from homefeed.data.items import ItemTable
from homefeed.data.sequences import SequenceStore, build_sequences
from homefeed.embedding import embed_day
from homefeed.errors import ReleaseError
from homefeed.models.user_encoders import EncoderOrigin, MeanRecentEncoder, load_user_encoder
from homefeed.recipes import config_json
from homefeed.release.opened import newest_snapshot, snapshots_folder
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
def config(tmp_path) -> Config:
    return Config(storage=StorageConfig(root=str(tmp_path / "workspace")))


@pytest.fixture
def embed_today(tmp_path, log, config, monkeypatch) -> Callable[..., tuple[dict, dict]]:
    """Publish yesterday from ``OLD``, then embed today from ``rows`` so far and those of today.

    Returns the vectors by typed user id, and those that the encoder makes from scratch.
    """
    (folder,) = _yesterday(tmp_path, log("old", OLD), config, "encoder")
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


@pytest.fixture
def champion_and_challenger(tmp_path, log, config, monkeypatch) -> SimpleNamespace:
    """Two live encoders with a snapshot of yesterday each, and today's log that awaits them."""
    folders = _yesterday(tmp_path, log("old", OLD), config, "challenger", "champion")
    challenger, champion = (load_user_encoder(folder).hash for folder in folders)
    live = dict(zip((challenger, champion), folders, strict=True))
    monkeypatch.setattr(daily, "live_encoders", lambda *_: live)
    monkeypatch.setattr(daily, "_champions_encoder", lambda *_: champion)
    known = log("known", OLD)
    build_sequences(known, tmp_path / "known-store")
    _append(tmp_path, known, log("day", NEW))

    def embed() -> dict[str, int]:
        """The hashes of the encoders that have a snapshot of today, and how many it embedded."""
        out = tmp_path / "out"
        daily.embed_day_step(tmp_path / "appended", config_json(config), out, tmp_path / "piece")
        daily.freshness_step(out, config_json(config), tmp_path / "freshness")
        made = read_json(out / "snapshots.json")["snapshots"]
        return {each["encoder_hash"]: each["embedded"] for each in made}

    return SimpleNamespace(
        champion=champion,
        challenger=challenger,
        folder=partial(snapshots_folder, config.workspace),
        embed=embed,
    )


def _yesterday(folder: Path, dataset: Dataset, config: Config, *encoders: str) -> list[Path]:
    """Encoders of a log, each with its snapshot of yesterday; the folders that hold them."""
    store = build_sequences(dataset, folder / "old-store")
    table = ItemTable.empty(store.meta.item_count)
    stats = build_item_stats(dataset, store, table.created_s)
    stats_of = write_stats(stats, [YESTERDAY_S], folder)
    folders = [_encoder(store, folder / name, seed) for seed, name in enumerate(encoders)]
    for each in folders:
        list(encoder_snapshots(each, store, table, stats_of, [YESTERDAY_S], config))
    return folders


def _encoder(store: SequenceStore, folder: Path, seed: int) -> Path:
    items = np.random.default_rng(seed).normal(size=(store.meta.item_count + 1, 4))
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


def test_without_a_snapshot_of_before_a_challengers_users_are_all_embedded_and_told(
    champion_and_challenger, capsys
):
    day = champion_and_challenger
    shutil.rmtree(day.folder(day.challenger))
    assert day.embed() == {day.challenger: 5, day.champion: 1}
    wanted = f"= embeds everybody: user encoder {day.challenger} has no snapshot up to "
    assert wanted in capsys.readouterr().out


def test_a_damaged_snapshot_of_before_is_not_gone_on_from(champion_and_challenger, capsys):
    day = champion_and_challenger
    (damaged,) = day.folder(day.champion).glob("*/users.parquet")
    damaged.write_bytes(b"not what it was")
    assert day.embed() == {day.challenger: 1, day.champion: 5}
    assert f"= embeds everybody: {damaged.parent}" in capsys.readouterr().out


def test_a_challenger_that_cannot_be_embedded_is_left_behind_and_the_champion_goes_on(
    champion_and_challenger, capsys
):
    day = champion_and_challenger
    (described,) = day.folder(day.challenger).glob("*/snapshot.json")
    write_json(described, {**read_json(described), "user_encoder_hash": "another"})
    assert day.embed() == {day.champion: 1}
    told = capsys.readouterr().out
    assert f"= keeps its snapshots: challenger {day.challenger}: snapshot " in told
    assert f"= serves nobody: encoder {day.challenger[:8]}: snapshot " in told


def test_a_champion_that_cannot_be_embedded_is_an_error(champion_and_challenger):
    day = champion_and_challenger
    (described,) = day.folder(day.champion).glob("*/snapshot.json")
    write_json(described, {**read_json(described), "user_encoder_hash": "another"})
    with pytest.raises(ReleaseError, match="was made with user encoder another"):
        day.embed()
