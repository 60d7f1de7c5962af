"""Order within one user, and exact duplicates: the rules that building and appending share."""

import numpy as np
import polars as pl

from homefeed.data.sequences.layout import PARTITIONS
from homefeed.schema import ActionFlag

_TIME_BITS = 42  # milliseconds up to 2106


def in_store_order(records: np.ndarray) -> tuple[np.ndarray, int]:
    """Records of one partition → by user, then time, ties as they came; and duplicates removed.

    Exact duplicates agree in user, item, type, time to the millisecond, surface, duration and
    event id; the first in the log stays. Untimed history is never a duplicate: a second watch of
    the same item there is a second watch.
    """
    if not len(records):
        return records, 0
    slot = (records["user"] // PARTITIONS).astype(np.int64)
    slot -= slot.min()
    if slot.max() < 1 << (63 - _TIME_BITS):
        key = (slot << _TIME_BITS) | records["time_ms"]
        order = np.argsort(key, kind="stable")
        key = key[order]
    else:  # more than two million users in one piece: the key does not fit 63 bits
        order = np.lexsort((records["time_ms"], slot))
        pairs = np.stack([slot[order], records["time_ms"][order]])
        key = np.cumsum(np.r_[False, (pairs[:, 1:] != pairs[:, :-1]).any(axis=0)])
    records = records[order]
    duplicate = _duplicates(records, key)
    return (records[~duplicate], int(duplicate.sum())) if duplicate.any() else (records, 0)


def _duplicates(records: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Mask of rows that repeat an earlier one. Only rows that share user and time are compared."""
    same = key[1:] == key[:-1]
    tied = np.r_[False, same] | np.r_[same, False]
    tied &= (records["flags"] & ActionFlag.TIME_UNKNOWN) == 0
    rows = np.flatnonzero(tied)
    mask = np.zeros(len(records), dtype=bool)
    if len(rows):
        some = records[rows]
        fields = ("item", "action", "surface", "duration_s", "event")
        frame = pl.DataFrame({"key": key[rows], **{f: some[f] for f in fields}})
        mask[rows] = ~frame.select(pl.struct(pl.all()).is_first_distinct()).to_series().to_numpy()
    return mask
