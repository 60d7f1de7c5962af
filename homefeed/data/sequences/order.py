"""Order within one user, and exact duplicates: the rules that building and appending share."""

from typing import NamedTuple

import numpy as np
import polars as pl

from homefeed.data.sequences.layout import PARTITIONS
from homefeed.schema import ActionFlag

_COMPARED = ("item", "action", "surface", "duration_s", "event")


class Removed(NamedTuple):
    """How many rows were removed as duplicates."""

    rows: int = 0
    other_request: int = 0  # of these, the first of each further request that was named

    def plus(self, more: "Removed") -> "Removed":
        """Both counts added."""
        return Removed(self.rows + more.rows, self.other_request + more.other_request)


def in_store_order(records: np.ndarray) -> tuple[np.ndarray, Removed]:
    """Records of one partition → by user, then time, ties as they came; and duplicates removed.

    Exact duplicates agree in user, item, type, time to the millisecond, surface, duration and
    event id, whatever request they name; the first in the log stays. Untimed history is never a
    duplicate: a second watch of the same item there is a second watch.
    """
    if not len(records):
        return records, Removed()
    # take, not records[order]: NumPy moves a structured row ten times faster that way.
    records = records.take(_order(records))
    duplicate, removed = _duplicates(records)
    return records.take(np.flatnonzero(~duplicate)), removed


def _order(records: np.ndarray) -> np.ndarray:
    """A stable order int64[n] by user, then time.

    Logs come nearly in order of time: a merge sort of the times finds the runs, and users then
    need only radix passes (what NumPy's stable sort does for 16-bit keys).
    """
    time_ms = np.ascontiguousarray(records["time_ms"])
    slot = records["user"] // PARTITIONS
    slot -= slot.min()
    order = None if (time_ms[1:] >= time_ms[:-1]).all() else np.argsort(time_ms, kind="stable")
    for shift in range(0, int(slot.max()).bit_length() or 1, 16):
        digit = (slot >> shift).astype(np.uint16)
        if order is None:
            order = np.argsort(digit, kind="stable")
        else:
            order = order.take(np.argsort(digit.take(order), kind="stable"))
    return order


def _duplicates(records: np.ndarray) -> tuple[np.ndarray, Removed]:
    """Mask bool[n] of rows that repeat an earlier one; only rows of equal user and time are met."""
    user, time_ms = records["user"], records["time_ms"]
    same = (user[1:] == user[:-1]) & (time_ms[1:] == time_ms[:-1])
    tied = np.r_[False, same] | np.r_[same, False]
    tied &= (records["flags"] & ActionFlag.TIME_UNKNOWN) == 0
    rows = np.flatnonzero(tied)
    mask = np.zeros(len(records), dtype=bool)
    if not len(rows):
        return mask, Removed()
    some = records.take(rows)
    names = ("user", "time_ms", *_COMPARED, "request")
    frame = pl.DataFrame({name: some[name] for name in names})
    mask[rows] = repeats = ~_is_first(frame.drop("request"))
    return mask, Removed(int(repeats.sum()), int((repeats & _is_first(frame)).sum()))


def _is_first(frame: pl.DataFrame) -> np.ndarray:
    """Mask bool[n] of rows that no earlier one equals."""
    return frame.select(pl.struct(pl.all()).is_first_distinct()).to_series().to_numpy()
