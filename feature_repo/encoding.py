"""Columns → Feast ``Value`` messages as bytes, a column at a time.

Building one protobuf object per value costs more than storing it, so lists are laid out with
array operations: floats as they lie in memory, integers as varints of the whole column at once,
texts by one look-up per text. tests/unit/feature_repo holds every layout against Feast's own
objects. Wire format: https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator
from functools import cache

import numpy as np
import polars as pl

LENGTH_DELIMITED = 2
VAL = bytes([1 << 3 | LENGTH_DELIMITED])  # field 1, ``val``, of all of Feast's list messages
_NEEDS_ANOTHER = np.uint64(1) << np.arange(7, 64, 7, dtype=np.uint64)  # 128, 16384, ...


def float_lists(column: pl.Series) -> Iterator[bytes]:
    """``Value(float_list_val=...)`` of each list of Float32."""
    flat = np.ascontiguousarray(_flat(column), dtype="<f4").view(np.uint8)
    for start, end in _bounds(column, 4):
        yield _value("float_list_val", _packed(flat[start:end].tobytes()))


def integer_lists(column: pl.Series, kind: str) -> Iterator[bytes]:
    """``Value(int32_list_val=...)`` or ``int64_list_val``, by ``kind``, of each list."""
    values = _flat(column).astype(np.int64)
    laid, ends = varints(values)
    for start, end in _bounds(column, 1):
        first = ends[start - 1] if start else 0
        last = ends[end - 1] if end else 0
        yield _value(kind, _packed(laid[first:last].tobytes()))


def text_lists(column: pl.Series) -> Iterator[bytes]:
    """``Value(string_list_val=...)`` of each list of texts."""
    flat = column.explode(empty_as_null=False).rename("text")
    known = flat.unique().sort()
    pieces = np.empty(len(known), object)
    pieces[:] = [VAL + _sized(text.encode()) for text in known]
    codes = flat.to_frame().join(
        known.to_frame().with_row_index("code"), on="text", how="left", maintain_order="left"
    )["code"]
    parts = pieces[codes.to_numpy()] if len(flat) else pieces
    for start, end in _bounds(column, 1):
        yield _value("string_list_val", b"".join(parts[start:end]))


def integers(column: pl.Series) -> Iterator[bytes]:
    """``Value(int64_val=...)`` of each integer."""
    laid, ends = varints(column.to_numpy().astype(np.int64))
    tag = _tag("int64_val", 0)
    for start, end in zip(np.concatenate([[0], ends[:-1]]), ends, strict=True):
        yield tag + laid[start:end].tobytes()


def varints(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Base-128 varints of int64 [n]: (bytes uint8, end of each value's bytes int64 [n])."""
    unsigned = values.astype(np.uint64)  # negative numbers take ten bytes, as protobuf does
    used = np.searchsorted(_NEEDS_ANOTHER, unsigned, side="right") + 1
    width = int(used.max(initial=1))
    column = np.arange(width, dtype=np.int64)
    groups = unsigned[:, None] >> (column.astype(np.uint64) * np.uint64(7))  # [n, width]
    laid = groups.astype(np.uint8) & np.uint8(0x7F)
    laid |= (column < used[:, None] - 1).astype(np.uint8) << np.uint8(7)
    return laid[column < used[:, None]], np.cumsum(used)


def _flat(column: pl.Series) -> np.ndarray:
    return column.explode(empty_as_null=False).to_numpy()


def _bounds(column: pl.Series, width: int) -> Iterator[tuple[int, int]]:
    """Start and end of each list in the flat column, in units of ``width``."""
    ends = np.cumsum(column.list.len().to_numpy().astype(np.int64)) * width
    starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    return zip(starts.tolist(), ends.tolist(), strict=True)


def _value(field: str, message: bytes) -> bytes:
    return _tag(field, LENGTH_DELIMITED) + _sized(message)


def _packed(raw: bytes) -> bytes:
    return VAL + _sized(raw) if raw else b""


def _sized(raw: bytes) -> bytes:
    return _length(len(raw)) + raw


@cache
def _length(size: int) -> bytes:
    return varints(np.array([size]))[0].tobytes()


@cache
def _tag(field: str, wire_type: int) -> bytes:
    from feast.protos.feast.types.Value_pb2 import Value

    return _length(Value.DESCRIPTOR.fields_by_name[field].number << 3 | wire_type)
