"""Ids outside, dense indices inside: one append-only vocabulary for users, one for items.

An external id is an integer or a text and comes back unchanged. Index 0 is padding, indices
1..size are the ids in the order in which the log first had them (items: acted on or shown,
``sequences.first_shown``), so a vocabulary that was extended day by day equals the one built from
the whole log at once. The integer 7 and the text "7" are different ids; where only text can travel
(Feast), ids are typed: ``i:7`` and ``s:7``.
"""

import hashlib
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from homefeed.artifacts import writing
from homefeed.errors import ArtifactError, DatasetError, UnknownIdError

ExternalId = int | str

_INT, _TEXT, _INDEX = "int_id", "text_id", "index"
_SMALLEST = -(2**63)


def typed_id(external_id: ExternalId) -> str:
    """``typed_id(123) == "i:123"``, ``typed_id("abc") == "s:abc"``."""
    if isinstance(external_id, (int, np.integer)) and not isinstance(external_id, bool):
        return f"i:{int(external_id)}"
    if isinstance(external_id, str):
        return f"s:{external_id}"
    raise UnknownIdError(
        f"an id is an integer or a text, found {external_id!r} of type {type(external_id).__name__}"
    )


class Vocabulary:
    """An append-only list of external ids with indices 1..size.

    Memory and time of a lookup do not depend on how the vocabulary grew. Instances are immutable:
    ``extended`` returns a new one that shares the old ids.
    """

    def __init__(self, ids: pl.DataFrame | None = None) -> None:
        # One row per index: int_id or text_id is set, the other null.
        self._ids = ids if ids is not None else _rows(pl.Series([], dtype=pl.Int64))
        self._lookup = {
            column: self._ids.select(
                column, (pl.int_range(pl.len(), dtype=pl.Int32) + 1).alias(_INDEX)
            ).filter(pl.col(column).is_not_null())
            for column in (_INT, _TEXT)
        }

    @classmethod
    def open(cls, path: Path) -> "Vocabulary":
        """Read a saved vocabulary; ArtifactError where it is missing or truncated."""
        try:
            return cls(pl.read_parquet(path, columns=[_INT, _TEXT], glob=False))
        except FileNotFoundError:
            raise ArtifactError(f"vocabulary {path} does not exist; build sequences") from None
        except (pl.exceptions.PolarsError, OSError) as error:
            raise ArtifactError(
                f"vocabulary {path} cannot be read ({_first_line(error)}); build sequences again"
            ) from None

    def save(self, path: Path) -> None:
        """Write one Parquet file, atomically."""
        with writing(path) as beside:
            self._ids.write_parquet(beside)

    @property
    def size(self) -> int:
        """Number of ids; valid indices are 1..size."""
        return self._ids.height

    @cached_property
    def hash(self) -> str:
        """16 hexadecimal digits over the typed ids in order."""
        digest = hashlib.blake2b(digest_size=8)
        for start in range(0, self.size, 1 << 20):
            typed = self._typed_rows(self._ids.slice(start, 1 << 20))
            digest.update(typed.str.len_bytes().to_numpy().astype("<u4").tobytes())
            _update_text(digest, typed)
        return digest.hexdigest()

    def index(self, external_id: ExternalId) -> int:
        """The index of one id; UnknownIdError where the vocabulary does not hold it."""
        typed_id(external_id)  # refuses what is neither integer nor text
        found = int(self.indices(pl.Series([external_id]))[0])
        if not found:
            raise UnknownIdError(
                f"id {external_id!r} is not among the {self.size:,} known ids; ids keep their type"
            )
        return found

    def indices(self, series: pl.Series) -> np.ndarray:
        """Indices int32[n] of a series of integer or text ids; 0 for unknown ids and nulls."""
        series, column = _normalised(series)
        if column == _INT and self._table is not None:
            return self._from_table(series)
        found = (
            series.alias(column)
            .to_frame()
            .join(self._lookup[column], on=column, how="left", maintain_order="left")
        )
        return found[_INDEX].fill_null(0).to_numpy(writable=True)

    @cached_property
    def _table(self) -> tuple[int, np.ndarray] | None:
        """Smallest id and indices int32 by (id − smallest), where integer ids lie close enough.

        A plain gather is ten times faster than a hash join; it may cost sixteen places an id.
        """
        known = self._lookup[_INT]
        if known.is_empty():
            return None
        low, high = known[_INT].min(), known[_INT].max()
        if high - low >= 16 * known.height + (1 << 16):
            return None
        table = np.zeros(high - low + 1, dtype=np.int32)
        table[known[_INT].to_numpy() - low] = known[_INDEX].to_numpy()
        return low, table

    def _from_table(self, series: pl.Series) -> np.ndarray:
        low, table = self._table
        outside = low - 1 if low > _SMALLEST else low + len(table)
        ids = series.fill_null(outside).to_numpy()
        inside = (ids >= low) & (ids < low + len(table))
        if inside.all():
            return table.take(ids - low)
        return np.where(inside, table.take(np.where(inside, ids - low, 0)), np.int32(0))

    def ids(self, indices: np.ndarray) -> list[ExternalId]:
        """External ids of ``indices`` [n], as they came in; UnknownIdError outside 1..size."""
        rows = self._gather(indices)
        return [
            text if number is None else number
            for number, text in zip(rows[_INT].to_list(), rows[_TEXT].to_list(), strict=True)
        ]

    def typed(self, indices: np.ndarray) -> list[str]:
        """Typed ids of ``indices`` [n]; UnknownIdError outside 1..size."""
        return self._typed_rows(self._gather(indices)).to_list()

    def extended(self, series: pl.Series) -> "Vocabulary":
        """With the unknown ids of ``series`` appended in the order of their first appearance."""
        series, _ = _normalised(series.drop_nulls())
        unknown = series.filter(pl.Series(self.indices(series) == 0))
        if unknown.is_empty():
            return self
        new = _rows(unknown.unique(maintain_order=True))
        return Vocabulary(pl.concat([self._ids, new], rechunk=True))

    def first(self, count: int) -> "Vocabulary":
        """This vocabulary as it was when it held ``count`` ids."""
        return Vocabulary(self._ids.head(count))

    def _gather(self, indices: np.ndarray) -> pl.DataFrame:
        indices = np.atleast_1d(np.asarray(indices))
        bad = indices[(indices < 1) | (indices > self.size)]
        if len(bad):
            raise UnknownIdError(f"index {int(bad[0])} is outside 1..{self.size}: it names no id")
        return self._ids[indices.astype(np.int64) - 1]

    @staticmethod
    def _typed_rows(rows: pl.DataFrame) -> pl.Series:
        return rows.select(
            pl.coalesce("i:" + pl.col(_INT).cast(pl.String), "s:" + pl.col(_TEXT)).alias("typed")
        )["typed"]


def _rows(series: pl.Series) -> pl.DataFrame:
    """Ids of one kind → the two nullable columns that a vocabulary keeps."""
    series, column = _normalised(series)
    other, dtype = (_TEXT, pl.String) if column == _INT else (_INT, pl.Int64)
    frame = pl.DataFrame({column: series, other: pl.Series([None] * len(series), dtype=dtype)})
    return frame.select(_INT, _TEXT)


def _normalised(series: pl.Series) -> tuple[pl.Series, str]:
    """The series as Int64 or String, and the column where such ids are kept."""
    if series.dtype.is_integer():
        try:
            return series.cast(pl.Int64), _INT
        except pl.exceptions.InvalidOperationError:
            raise DatasetError(
                f"column {series.name!r} holds integer ids beyond 64 bits signed, up to "
                f"{series.max()}; write them as text"
            ) from None
    if series.dtype in (pl.String, pl.Categorical, pl.Enum):
        return series.cast(pl.String), _TEXT
    if series.dtype == pl.Null:
        return series.cast(pl.Int64), _INT
    raise DatasetError(
        f"ids must be integers or text, found {series.dtype} in column {series.name!r}; "
        "convert the column in the data set"
    )


def _update_text(digest: "hashlib._Hash", text: pl.Series) -> None:
    """Feed the UTF-8 bytes of all texts to ``digest`` without making Python strings."""
    array = text.to_arrow()
    array = array.cast(pa.large_string()) if array.type != pa.large_string() else array
    _, offsets, data = array.buffers()
    if data is not None:
        ends = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
        digest.update(memoryview(data)[ends[0] : ends[-1]])


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
