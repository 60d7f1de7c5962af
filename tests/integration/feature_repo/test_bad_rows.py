"""Rows that must not enter the store: one clear line each."""

import polars as pl
import pytest

from feature_repo.rows import sequence_rows, vector_rows
from homefeed.errors import FeatureStoreError

pytestmark = pytest.mark.integration


def _write(tmp_path, **columns):
    path = tmp_path / "users.parquet"
    pl.DataFrame(columns).write_parquet(path)
    return path


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"user_id": ["i:1"]}, "no column vector"),
        ({"user_id": ["1"], "vector": [[1.0, 2.0]]}, "not a typed id"),
        ({"user_id": ["i:1", "i:1"], "vector": [[1.0, 2.0]] * 2}, "appears twice"),
        ({"user_id": ["i:1"], "vector": [[1.0, 2.0, 3.0]]}, r"width \[3\]"),
        ({"user_id": ["i:1"], "vector": [[1.0, float("nan")]]}, "not a number"),
    ],
)
def test_bad_vectors_are_refused(tmp_path, columns, message):
    with pytest.raises(FeatureStoreError, match=message):
        vector_rows(_write(tmp_path, **columns), as_of_s=1, dim=2)


def test_a_missing_snapshot_file_is_named(tmp_path):
    with pytest.raises(FeatureStoreError, match="does not exist"):
        vector_rows(tmp_path / "users.parquet", as_of_s=1, dim=2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (pl.col("user_id").str.replace("s:", ""), "not a typed id"),
        (pl.col("times_s").list.reverse(), "newest first"),
        (pl.col("flags").list.head(2), "differ in length"),
        (pl.col("shown_ms").list.head(1), "differ in number"),
        (pl.lit("x").alias("times_s"), "another type"),
    ],
)
def test_bad_sequences_are_refused(sequences, change, message):
    frame = sequences().with_columns(change)
    with pytest.raises(FeatureStoreError, match=message):
        sequence_rows(frame, 1, 1, 100)


def test_integers_of_another_width_are_taken_where_integers_belong(sequences):
    wide = sequences()
    narrow = wide.with_columns(pl.col("times_s").cast(pl.List(pl.Int32)))
    assert narrow.schema != wide.schema
    assert sequence_rows(narrow, 1, 1, 100).frame.equals(sequence_rows(wide, 1, 1, 100).frame)


def test_a_sequence_longer_than_the_store_keeps_is_refused(sequences):
    with pytest.raises(FeatureStoreError, match="4 actions, the store keeps 3"):
        sequence_rows(sequences(length=4), 1, 1, 3)
