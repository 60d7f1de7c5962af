"""Append a day: merge its actions into a store, partition by partition, into a new store.

The result equals the store built from all days at once, up to the order of actions that arrive
in a later day with a second that is already stored: they come after those stored (the store
keeps whole seconds); and up to the numbers of items, where a later day has rows from before its
start and the log has impressions: what has a number keeps it, and nothing in the log of all days
tells where the first one ended. Appending a day again changes nothing.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from homefeed.artifacts import hash_json, writing
from homefeed.data.contract import Dataset
from homefeed.data.sequences.build import max_records, require_memory, spilled, stored_columns
from homefeed.data.sequences.encode import ActionEncoder
from homefeed.data.sequences.first_shown import FirstShown
from homefeed.data.sequences.layout import COLUMNS, PARTITIONS
from homefeed.data.sequences.order import Removed, in_store_order
from homefeed.data.sequences.spill import Spill
from homefeed.data.sequences.store import SequenceStore
from homefeed.data.sequences.writer import StoreWriter

Columns = dict[str, np.ndarray]


def append_sequences(
    store_path: Path, dataset_day: Dataset, out: Path, *, memory_mb: int = 512
) -> SequenceStore:
    """Merge ``dataset_day`` into the store at ``store_path``; write and open the store ``out``.

    ``out`` may be ``store_path``. Ids keep their indices, new ones are appended. Actions that the
    store holds already are left out and counted. Raises as ``build_sequences`` does.
    """
    require_memory(memory_mb)
    store = SequenceStore.open(store_path)
    old = store.meta
    shown = FirstShown.read(dataset_day, store.items, memory_mb)
    encoder = ActionEncoder(
        dataset_day, store.users, store.items, shown, old.action_types, old.surfaces
    )
    with writing(Path(out)) as beside:
        beside.mkdir()
        with spilled(dataset_day, encoder, beside / "spill", memory_mb) as spill:
            writer = StoreWriter(beside)
            duplicates = Removed(old.duplicate_count, old.other_request_count)
            for user, columns, removed in _merged(store, spill, max_records(memory_mb)):
                writer.write(user, columns)
                duplicates = duplicates.plus(removed)
        fingerprint = old.dataset_fingerprint
        if writer.action_count > old.action_count or encoder.items.size > old.item_count:
            fingerprint = hash_json([fingerprint, dataset_day.fingerprint()])
        writer.finish(
            encoder.users,
            encoder.items,
            encoder.action_types,
            encoder.surfaces,
            duplicates,
            fingerprint,
        )
    return SequenceStore.open(out)


def _merged(
    store: SequenceStore, spill: Spill, limit: int
) -> Iterator[tuple[np.ndarray, Columns, Removed]]:
    """Yield users [n], columns [n] and duplicates removed, in store order."""
    for partition in range(PARTITIONS):
        lengths = store.length[partition::PARTITIONS].astype(np.int64)  # by slot; padding is 0
        starts = store.start[partition::PARTITIONS]
        for first, last, piece in spill.pieces(partition, limit, stored=lengths):
            slots = np.arange(first, min(last, len(lengths)))
            rows = slice(0, 0)
            if lengths[slots].any():
                held = slots[lengths[slots] > 0]
                rows = slice(starts[held[0]], starts[held[-1]] + lengths[held[-1]])
            old_user = np.repeat(slots * PARTITIONS + partition, lengths[slots])
            old = {name: np.asarray(getattr(store, name)[rows]) for name in COLUMNS}
            records, removed = in_store_order(piece)
            user, columns, known = _merge(old_user, old, records["user"], stored_columns(records))
            # The store keeps no request ids: what a known action named cannot be told.
            yield user, columns, removed.plus(Removed(known))


def _merge(
    old_user: np.ndarray, old: Columns, new_user: np.ndarray, new: Columns
) -> tuple[np.ndarray, Columns, int]:
    """Merge by user and second, new after old in the same second, known actions left out."""
    if not len(new_user):
        return old_user, old, 0
    old_key, new_key = _key(old_user, old), _key(new_user, new)
    fresh = _fresh(old_key, old, new_key, new)
    new_user, new_key = new_user[fresh], new_key[fresh]
    at = np.searchsorted(old_key, new_key, side="right")
    merged = {name: np.insert(old[name], at, new[name][fresh]) for name in COLUMNS}
    return np.insert(old_user, at, new_user), merged, int((~fresh).sum())


def _key(user: np.ndarray, columns: Columns) -> np.ndarray:
    """One int64 that orders rows of a partition: user, then second."""
    return (user.astype(np.int64) << 32) | columns["time_s"].astype(np.int64)


def _fresh(old_key: np.ndarray, old: Columns, new_key: np.ndarray, new: Columns) -> np.ndarray:
    """Mask bool[n] of new actions that the store does not hold.

    The store keeps no event ids, so equal rows are counted: of k equal new rows, those beyond the
    number of equal stored ones are fresh.
    """
    low = np.searchsorted(old_key, new_key, side="left")
    high = np.searchsorted(old_key, new_key, side="right")
    fresh = np.ones(len(new_key), dtype=bool)
    met = np.flatnonzero(high > low)
    if not len(met):
        return fresh
    rows = np.flatnonzero(np.isin(old_key, new_key[met]))
    known = _numbered(old_key[rows], {name: column[rows] for name, column in old.items()})
    asked = _numbered(new_key[met], {name: column[met] for name, column in new.items()})
    unknown = asked.with_row_index("row").join(known, on=known.columns, how="anti")
    fresh[met] = False
    fresh[met[unknown["row"].to_numpy()]] = True
    return fresh


def _numbered(key: np.ndarray, columns: Columns) -> pl.DataFrame:
    """Rows as a frame, equal ones numbered 0, 1, 2, … so that each is distinct."""
    compared = {**columns, "duration": columns["duration"].astype(np.float32)}
    frame = pl.DataFrame({"key": key, **compared})
    number = pl.int_range(pl.len()).over(frame.columns).alias("number")
    return frame.with_columns(number)
