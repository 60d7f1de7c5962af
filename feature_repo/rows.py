"""Rows to publish, checked: user vectors from a snapshot, user sequences from a frame."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from feature_repo.definitions import (
    DURATIONS,
    EARLIER_ITEMS,
    FLAGS,
    JOIN_KEY,
    SEQUENCE_AS_OF,
    SEQUENCE_LISTS,
    SHOWN_ITEMS,
    SHOWN_TIMES,
    TIMES,
    VECTOR,
    VECTOR_AS_OF,
    WATERMARK,
)
from feature_repo.encoding import float_lists, integer_lists, integers, text_lists
from homefeed.errors import FeatureStoreError

SEQUENCE_SCHEMA: dict[str, pl.DataType] = {
    JOIN_KEY: pl.String(),
    **{name: pl.List(pl.String()) for name in SEQUENCE_LISTS[:3]},
    TIMES: pl.List(pl.Int64()),
    DURATIONS: pl.List(pl.Float32()),
    FLAGS: pl.List(pl.Int32()),
    SHOWN_ITEMS: pl.List(pl.String()),
    SHOWN_TIMES: pl.List(pl.Int64()),
    EARLIER_ITEMS: pl.List(pl.String()),
}


@dataclass(frozen=True)
class Encoded:
    """A batch ready to store: Feast ``Value`` messages as bytes, by feature, user by user."""

    users: list[str]  # typed ids
    columns: dict[str, list[bytes]]


@dataclass(frozen=True)
class Rows:
    """Rows of one view with one as-of time; ``frame`` has the view's features and the user."""

    frame: pl.DataFrame
    as_of_s: int
    encode: Callable[[pl.DataFrame], Encoded]

    def batches(self, rows: int) -> Iterator[Encoded]:
        """Encoded users in bounded batches."""
        return map(self.encode, self.frame.iter_slices(rows))


def vector_rows(parquet: Path, as_of_s: int, dim: int) -> Rows:
    """Read ``user_id`` and ``vector`` of a snapshot's users.parquet.

    Raises FeatureStoreError: missing column, another width, NaN, a user twice, untyped ids.
    """
    if not Path(parquet).exists():
        raise FeatureStoreError(f"{parquet} does not exist; run the embedding step first")
    frame = pl.read_parquet(parquet, glob=False)
    missing = {JOIN_KEY, VECTOR} - set(frame.columns)
    if missing:
        raise FeatureStoreError(
            f"{parquet} has no column {', '.join(sorted(missing))}, found "
            f"{', '.join(frame.columns)}; make the snapshot again"
        )
    frame = frame.select(
        JOIN_KEY,
        pl.col(VECTOR).cast(pl.List(pl.Float32)),
        pl.lit(as_of_s, pl.Int64).alias(VECTOR_AS_OF),
    )
    _require_users(frame, str(parquet))
    widths = frame[VECTOR].list.len().unique().to_list()
    if widths not in ([], [dim]):
        raise FeatureStoreError(
            f"{parquet} holds vectors of width {widths}, the encoder's view has {dim}; publish "
            "the snapshot of the view's own encoder"
        )
    flat = frame[VECTOR].explode(empty_as_null=False)
    if flat.null_count() or not flat.is_finite().all():
        raise FeatureStoreError(f"{parquet} holds a value that is not a number; embed again")
    return Rows(frame, as_of_s, _encode_vectors)


def sequence_rows(frame: pl.DataFrame, as_of_s: int, watermark: int, length: int) -> Rows:
    """Check a frame of SEQUENCE_SCHEMA (lists newest first, a user's action lists equally long).

    Raises FeatureStoreError: missing column, wrong type, lists that differ, too long, wrong order.
    """
    missing = set(SEQUENCE_SCHEMA) - set(frame.columns)
    if missing:
        raise FeatureStoreError(f"sequences have no column {', '.join(sorted(missing))}")
    try:
        frame = frame.select(pl.col(name).cast(kind) for name, kind in SEQUENCE_SCHEMA.items())
    except pl.exceptions.PolarsError as error:
        raise FeatureStoreError(f"sequences have a column of another type: {error}") from None
    _require_users(frame, "the sequences")
    sizes = frame.select(pl.col(name).list.len() for name in SEQUENCE_LISTS)
    if frame.height and (sizes.max_horizontal() != sizes.min_horizontal()).any():
        raise FeatureStoreError("the lists of one user's sequence differ in length")
    if (frame[SHOWN_ITEMS].list.len() != frame[SHOWN_TIMES].list.len()).any():
        raise FeatureStoreError("one user's shown items and their times differ in number")
    if frame.height and sizes[TIMES].max() > length:
        raise FeatureStoreError(
            f"a sequence has {sizes[TIMES].max()} actions, the store keeps {length}; cut it first"
        )
    if frame.select((pl.col(TIMES).list.diff().list.max() > 0).any()).item():
        raise FeatureStoreError("sequences must be newest first; turn the lists around")
    constants = (
        pl.lit(watermark, pl.Int64).alias(WATERMARK),
        pl.lit(as_of_s, pl.Int64).alias(SEQUENCE_AS_OF),
    )
    return Rows(frame.with_columns(constants), as_of_s, _encode_sequences)


def _require_users(frame: pl.DataFrame, where: str) -> None:
    users = frame[JOIN_KEY]
    untyped = frame.filter(~users.str.contains("^[is]:") | users.is_null())[JOIN_KEY]
    if len(untyped):
        raise FeatureStoreError(
            f"{where}: user {untyped[0]!r} is not a typed id; write i:123 for 123, s:abc for 'abc'"
        )
    if users.n_unique() != len(users):
        twice = users.filter(users.is_duplicated())[0]
        raise FeatureStoreError(f"{where}: user {twice!r} appears twice")


def _encode_vectors(frame: pl.DataFrame) -> Encoded:
    return Encoded(
        frame[JOIN_KEY].to_list(),
        {
            VECTOR: list(float_lists(frame[VECTOR])),
            VECTOR_AS_OF: list(integers(frame[VECTOR_AS_OF])),
        },
    )


def _encode_sequences(frame: pl.DataFrame) -> Encoded:
    columns = {name: list(text_lists(frame[name])) for name in SEQUENCE_LISTS[:3]}
    columns[TIMES] = list(integer_lists(frame[TIMES], "int64_list_val"))
    columns[DURATIONS] = list(float_lists(frame[DURATIONS]))
    columns[FLAGS] = list(integer_lists(frame[FLAGS], "int32_list_val"))
    columns[SHOWN_ITEMS] = list(text_lists(frame[SHOWN_ITEMS]))
    columns[SHOWN_TIMES] = list(integer_lists(frame[SHOWN_TIMES], "int64_list_val"))
    columns[EARLIER_ITEMS] = list(text_lists(frame[EARLIER_ITEMS]))
    columns |= {name: list(integers(frame[name])) for name in (WATERMARK, SEQUENCE_AS_OF)}
    return Encoded(frame[JOIN_KEY].to_list(), columns)


def vectors_of(frame: pl.DataFrame, dim: int) -> np.ndarray:
    """The ``vector`` column as float32 [rows, dim]."""
    return frame[VECTOR].explode(empty_as_null=False).to_numpy().reshape(-1, dim)
