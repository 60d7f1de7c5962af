import json

import numpy as np
import pytest

from homefeed.data.sequences import SequenceStore, build_sequences
from homefeed.errors import ArtifactError

START_MS = 1_700_000_000_000


@pytest.fixture
def store(dataset_of, tmp_path) -> SequenceStore:
    rows = [
        {"user_id": n % 5, "item_id": "a", "action_type": "like", "timestamp": START_MS + 1000 * n}
        for n in range(20)
    ]
    return build_sequences(dataset_of(rows), tmp_path / "store")


def test_columns_are_memory_mapped_with_the_documented_types(store):
    types = {
        "item": np.int32,
        "action": np.uint8,
        "surface": np.uint8,
        "flags": np.uint8,
        "time_s": np.uint32,
        "duration": np.float16,
        "late_min": np.uint16,
    }
    for name, dtype in types.items():
        column = getattr(store, name)
        assert isinstance(column, np.memmap)
        assert column.dtype == dtype
        assert column.shape == (20,)
    assert (store.start.dtype, store.length.dtype) == (np.int64, np.int32)


def test_a_missing_store_names_the_step_that_makes_it(tmp_path):
    with pytest.raises(ArtifactError, match="run the sequences step"):
        SequenceStore.open(tmp_path / "none")


@pytest.mark.parametrize("file", ["item.i32", "time.u32", "late.u16", "users.npz"])
def test_a_truncated_file_is_named(store, file):
    path = store.path / file
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ArtifactError, match=file):
        SequenceStore.open(store.path)


@pytest.mark.parametrize("file", ["flags.u8", "users.npz", "meta.json"])
def test_a_missing_file_is_named(store, file):
    (store.path / file).unlink()
    with pytest.raises(ArtifactError, match=file):
        SequenceStore.open(store.path)


def test_another_version_is_refused(store):
    meta = json.loads((store.path / "meta.json").read_text())
    (store.path / "meta.json").write_text(json.dumps({**meta, "version": 99}))
    with pytest.raises(ArtifactError, match="version 99"):
        SequenceStore.open(store.path)


def test_metadata_without_a_key_is_refused(store):
    meta = json.loads((store.path / "meta.json").read_text())
    del meta["surfaces"]
    (store.path / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(ArtifactError, match="incomplete"):
        SequenceStore.open(store.path)


def test_a_vocabulary_of_another_store_is_refused(store, dataset_of, tmp_path):
    row = {"user_id": 1, "item_id": "a", "action_type": "like", "timestamp": START_MS}
    other = build_sequences(dataset_of([row]), tmp_path / "other")
    users = other.path / "vocabulary" / "users.parquet"
    (store.path / "vocabulary" / "users.parquet").write_bytes(users.read_bytes())
    with pytest.raises(ArtifactError, match="holds 1 ids, the store needs 5"):
        SequenceStore.open(store.path).users.index(1)


def test_the_content_hash_changes_with_one_action(dataset_of, tmp_path):
    rows = [
        {"user_id": n % 5, "item_id": "a", "action_type": "like", "timestamp": START_MS + 1000 * n}
        for n in range(20)
    ]
    first = build_sequences(dataset_of(rows), tmp_path / "first")
    again = build_sequences(dataset_of(rows), tmp_path / "again")
    other = build_sequences(
        dataset_of([*rows[:-1], {**rows[-1], "action_type": "hide"}]), tmp_path / "other"
    )
    assert first.meta.content_hash == again.meta.content_hash != other.meta.content_hash
