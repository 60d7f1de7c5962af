import json
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from homefeed.embedding import UserVectors
from homefeed.errors import ArtifactError, ReleaseError
from homefeed.snapshots import Snapshot, snapshot_path, write_snapshot

AS_OF_S = int(datetime(2024, 3, 2, tzinfo=UTC).timestamp())
ENCODER = "abcdef0123456789"


@pytest.fixture
def parts():
    generator = np.random.default_rng(0)
    items = generator.normal(size=(21, 4)).astype(np.float32)
    items[0] = 0
    users = UserVectors(
        np.array([1, 2, 5], np.int32), generator.normal(size=(3, 4)).astype(np.float32), AS_OF_S
    )
    return {
        "users": users,
        "typed_users": ["i:7", "s:ü", "i:9"],
        "item_vectors": items,
        "user_encoder_hash": ENCODER,
        "items_hash": "1" * 16,
        "users_hash": "2" * 16,
        "vocabulary_users": 5,
    }


def test_a_snapshot_opens_with_the_same_bits(parts, tmp_path):
    write_snapshot(tmp_path / "s", **parts, embedded_users=2)
    opened = Snapshot.open(tmp_path / "s", user_encoder_hash=ENCODER)
    assert np.array_equal(opened.users.vector, parts["users"].vector)
    assert opened.users.user.tolist() == [1, 2, 5]
    assert np.array_equal(opened.item_vectors, parts["item_vectors"])
    assert opened.meta.embedded_users == 2
    assert opened.meta.index_size == 20
    query = parts["users"].vector[0]
    assert opened.index.search(query, 1)[0][0] == np.argmax(parts["item_vectors"] @ query)
    assert opened.item_stats is None


def test_the_users_table_is_plain_parquet_with_ids_and_times(parts, tmp_path):
    write_snapshot(tmp_path / "s", **parts, created_s=AS_OF_S + 60)
    table = pl.read_parquet(tmp_path / "s" / "users.parquet")
    assert table["user_id"].to_list() == ["i:7", "s:ü", "i:9"]
    assert table["vector"].dtype == pl.Array(pl.Float32, 4)
    assert table["event_timestamp"][0] == datetime(2024, 3, 2, tzinfo=UTC)
    assert table["created"][0] == datetime(2024, 3, 2, 0, 1, tzinfo=UTC)


def test_a_snapshot_of_another_encoder_is_refused(parts, tmp_path):
    write_snapshot(tmp_path / "s", **parts)
    with pytest.raises(ReleaseError, match=f"made with user encoder {ENCODER}"):
        Snapshot.open(tmp_path / "s", user_encoder_hash="f" * 16)


def _append(folder, name):
    with (folder / name).open("ab") as file:
        file.write(b"x")


@pytest.mark.parametrize("name", ["users.parquet", "item_vectors.npy", "index_ids.npy"])
def test_an_altered_file_is_named(parts, tmp_path, name):
    write_snapshot(tmp_path / "s", **parts)
    _append(tmp_path / "s", name)
    with pytest.raises(ArtifactError, match=name):
        Snapshot.open(tmp_path / "s")


def test_a_missing_file_and_another_version_are_refused(parts, tmp_path):
    write_snapshot(tmp_path / "s", **parts)
    (tmp_path / "s" / "users.parquet").unlink()
    with pytest.raises(ArtifactError, match=r"users\.parquet"):
        Snapshot.open(tmp_path / "s")
    meta = json.loads((tmp_path / "s" / "snapshot.json").read_text())
    (tmp_path / "s" / "snapshot.json").write_text(json.dumps(meta | {"version": 0}))
    with pytest.raises(ArtifactError, match="version 0"):
        Snapshot.open(tmp_path / "s")
    with pytest.raises(ArtifactError, match="does not exist"):
        Snapshot.open(tmp_path / "nowhere")


@pytest.mark.parametrize("unknown", [{}, {"another": 1}])
def test_a_description_of_other_fields_is_refused(parts, tmp_path, unknown):
    write_snapshot(tmp_path / "s", **parts)
    meta = json.loads((tmp_path / "s" / "snapshot.json").read_text())
    del meta["vocabulary_users"]
    (tmp_path / "s" / "snapshot.json").write_text(json.dumps(meta | unknown))
    with pytest.raises(ArtifactError, match=r"is incomplete .*run `homefeed pipeline run daily`"):
        Snapshot.open(tmp_path / "s")


def test_item_statistics_travel_along_and_must_fit_the_vocabulary(parts, tmp_path):
    stats = np.arange(42, dtype=np.float32).reshape(21, 2)
    np.save(tmp_path / "stats.npy", stats)
    snapshot = write_snapshot(tmp_path / "s", **parts, item_stats=tmp_path / "stats.npy")
    assert np.array_equal(snapshot.item_stats, stats)
    np.save(tmp_path / "stats.npy", stats[:-1])
    with pytest.raises(ArtifactError, match="20 rows"):
        write_snapshot(tmp_path / "t", **parts, item_stats=tmp_path / "stats.npy")
    assert not (tmp_path / "t").exists()
    assert not list(tmp_path.glob(".t*"))  # nothing half-written


def test_only_the_items_that_may_be_shown_are_in_the_index(parts, tmp_path):
    snapshot = write_snapshot(tmp_path / "s", **parts, index_items=np.array([3, 9]))
    found, _ = snapshot.index.search(parts["users"].vector[0], 10)
    assert sorted(found.tolist()) == [3, 9]


def test_writing_a_day_again_replaces_it(parts, tmp_path):
    write_snapshot(tmp_path / "s", **parts)
    parts["item_vectors"] = parts["item_vectors"] * 2
    write_snapshot(tmp_path / "s", **parts)
    opened = Snapshot.open(tmp_path / "s")
    assert np.array_equal(opened.item_vectors, parts["item_vectors"])


def test_a_snapshot_at_midnight_is_named_by_the_day_that_ended(tmp_path):
    assert snapshot_path(tmp_path, ENCODER, AS_OF_S) == (
        tmp_path / "snapshots" / "abcdef01" / "2024-03-01"
    )
    assert snapshot_path(tmp_path, ENCODER, AS_OF_S + 1).name == "2024-03-02"
