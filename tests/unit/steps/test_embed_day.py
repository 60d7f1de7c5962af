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
from homefeed.models.config import variant
from homefeed.models.item_encoders import ItemEncoder
from homefeed.models.ranker import Ranker
from homefeed.models.ranker_artifact import save_ranker
from homefeed.models.ranker_description import RankerInputs
from homefeed.models.user_encoders import EncoderOrigin, MeanRecentEncoder
from homefeed.recipes import config_json
from homefeed.release import Action, Part, Release, ReleaseManifest, ReleaseRegistry
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
def embed_today(tmp_path, log, config) -> Callable[..., tuple[dict, dict]]:
    """Publish yesterday from ``OLD``, then embed today from ``rows`` so far and those of today.

    Returns the vectors by typed user id, and those that the encoder makes from scratch.
    """
    (release,) = _yesterday(tmp_path, log("old", OLD), config, encoder=Action.PROMOTE)
    folder, encoder_hash = release.user_encoder_path, release.encoder_hash

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
def champion_and_challenger(tmp_path, log, config) -> SimpleNamespace:
    """Two live encoders with a snapshot of yesterday each, and today's log that awaits them.

    The challenger's release has the lower version, so it is embedded first.
    """
    moves = {"challenger": Action.CHALLENGE, "champion": Action.PROMOTE}
    releases = _yesterday(tmp_path, log("old", OLD), config, **moves)
    challenger, champion = (release.encoder_hash for release in releases)
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


def _yesterday(folder: Path, dataset: Dataset, config: Config, **moves: Action) -> list[Release]:
    """A release of a log for each name, in the ledger, and its encoder's snapshot of yesterday.

    ``moves`` says as what each is live. Only the ledger is asked, so MLflow knows none of them.
    """
    store = build_sequences(dataset, folder / "old-store")
    table = ItemTable.empty(store.meta.item_count)
    stats = build_item_stats(dataset, store, table.created_s)
    stats_of = write_stats(stats, [YESTERDAY_S], folder)
    registry = ReleaseRegistry(config.workspace)
    releases = []
    for version, (name, action) in enumerate(moves.items(), start=1):
        manifest = _manifest(store, dataset, config.workspace, name, seed=version)
        registry.ledger.add_release(version, manifest, at_s=YESTERDAY_S)
        about = {"at_s": YESTERDAY_S, "who": "tester", "reason": "to be served"}
        registry.ledger.append(action, lambda _, moved=version: moved, **about)
        releases.append(registry.open(version))
        made = releases[-1].user_encoder_path
        list(encoder_snapshots(made, store, table, stats_of, [YESTERDAY_S], config))
    return releases


def _manifest(
    store: SequenceStore, dataset: Dataset, workspace: Path, name: str, *, seed: int
) -> ReleaseManifest:
    """A release of real parts with random vectors; its user encoder lies in a folder ``name``."""
    vectors = np.random.default_rng(seed).normal(size=(store.meta.item_count + 1, 4))
    vectors = vectors.astype(np.float32)
    items = ItemEncoder("svd", vectors, YESTERDAY_S, seed, store.meta.items_hash)
    origin = EncoderOrigin(
        items_hash=store.meta.items_hash,
        item_encoder_hash=items.hash,
        trained_before_s=YESTERDAY_S,
        action_types=store.meta.action_types,
        surfaces=store.meta.surfaces,
    )
    users = MeanRecentEncoder(items=vectors, origin=origin)
    inputs = RankerInputs(
        heads=("like",),
        action_types=store.meta.action_types,
        surfaces=store.meta.surfaces,
        stats=("rate",),
        item_count=store.meta.item_count,
        vector_dim=4,
        user_vector_dim=4,
        negative=(),
    )
    ranker = Ranker(variant("control", user_vector="mean_recent"), inputs)
    roles = ("item_encoder", "user_encoder", "ranker")
    places = {role: workspace / f"{role}s" / name for role in roles}
    items.save(places["item_encoder"])
    users.save(places["user_encoder"])
    bound = {"user_encoder_hash": users.hash}
    ranker_hash = save_ranker(ranker, places["ranker"], bound_to=bound, training={})
    hashes = {"item_encoder": items.hash, "user_encoder": users.hash, "ranker": ranker_hash}
    parts = {
        role: Part.of(path, name=role, version=0, hash=hashes[role], workspace=workspace)
        for role, path in places.items()
    }
    return ReleaseManifest(
        **parts,
        preprocessing_hash="p" * 16,
        users_hash=store.users.hash,
        items_hash=store.meta.items_hash,
        dataset=dataset.spec.name,
        dataset_fingerprint="d" * 16,
        code_version="1.0",
        realtime=True,
        heads=("like",),
    )


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
