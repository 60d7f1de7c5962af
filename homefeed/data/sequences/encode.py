"""From rows of the actions table to fixed-width records: ids to indices, names to codes.

A record is what the store keeps of an action, plus what only building needs: the user, the full
time in milliseconds and a hash of the event id, by which exact duplicates are known; a hash of the
request id tells how many of those named another request.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from homefeed.data.contract import Dataset
from homefeed.data.sequences.first_shown import FirstShown
from homefeed.data.sequences.layout import MAX_TIME_S, NEVER_MIN, float16_up
from homefeed.data.specification import DatasetSpec
from homefeed.data.vocabulary import Vocabulary
from homefeed.errors import DatasetError
from homefeed.schema import (
    ACTION_TYPE,
    ACTIONS,
    ARRIVED_AT,
    DURATION_S,
    EVENT_ID,
    ITEM_ID,
    REQUEST_ID,
    SURFACE,
    TIME_KNOWN,
    TIMESTAMP,
    USER_ID,
    ActionFlag,
)

RECORD = np.dtype(
    [
        ("user", "<i4"),
        ("item", "<i4"),
        ("time_ms", "<i8"),
        ("event", "<u4"),  # compared only between rows that agree in everything else
        ("duration_s", "<f4"),
        ("late_min", "<u2"),
        ("action", "u1"),
        ("surface", "u1"),
        ("flags", "u1"),
        ("", "V1"),
        ("request", "<u2"),  # never compared to keep a row: it only counts
    ]  # 32 bytes: rows move as two or four whole words
)
MAX_CODES = 255
NEEDED = (USER_ID, ITEM_ID, ACTION_TYPE, TIMESTAMP)
OPTIONAL = (SURFACE, DURATION_S, TIME_KNOWN, EVENT_ID, REQUEST_ID, ARRIVED_AT)


class ActionEncoder:
    """Turns batches of a data set's actions into records; ids and surfaces grow as they appear."""

    def __init__(
        self,
        dataset: Dataset,
        users: Vocabulary,
        items: Vocabulary,
        shown: FirstShown,
        action_types: tuple[str, ...] = ("",),
        surfaces: tuple[str, ...] = ("",),
    ) -> None:
        self.spec = dataset.spec
        self.users, self.items = users, items
        self._shown, self._latest_ms = shown, 0
        new = [name for name in self.spec.action_types if name not in action_types]
        self.action_types = (*action_types, *new)
        self.surfaces = surfaces
        require_codes("action types", self.action_types)
        self._present = set(dataset.columns(ACTIONS))
        self._by_type = _TypeRules(self.spec, self.action_types)

    @property
    def columns(self) -> list[str]:
        """The canonical columns to read: absent optional ones cost nothing."""
        return [*NEEDED, *(name for name in OPTIONAL if name in self._present)]

    def encode(self, batch: pl.DataFrame) -> np.ndarray:
        """Records RECORD[n] of ``batch`` in its order.

        Raises DatasetError for nulls in needed columns, undeclared action types, times outside
        1970..2106: what the check step would have set aside.
        """
        _require_complete(batch)
        records = np.zeros(batch.height, dtype=RECORD)
        self.users, records["user"] = _indexed(self.users, batch[USER_ID])
        records["time_ms"] = time_ms = _times(batch[TIMESTAMP])
        records["item"] = self._item_indices(batch[ITEM_ID], time_ms)
        records["action"] = action = self._action_codes(batch[ACTION_TYPE])
        if SURFACE in self._present:
            records["surface"] = self._surface_codes(batch[SURFACE])
        duration_s = np.zeros(batch.height, dtype=np.float32)
        if DURATION_S in self._present:
            duration_s = batch[DURATION_S].fill_null(0.0).to_numpy()
        records["duration_s"] = duration_s
        if EVENT_ID in self._present:
            records["event"] = _hashes(batch[EVENT_ID], bits=32)
        if REQUEST_ID in self._present:
            records["request"] = _hashes(batch[REQUEST_ID], bits=16)
        records["late_min"] = self._lateness(batch, time_ms, duration_s)
        records["flags"] = self._flags(batch, action, records["surface"], duration_s)
        return records

    def finish(self) -> None:
        """Take in the items that were shown after the last action was encoded."""
        self.items = self.items.extended(self._shown.until()[0])

    def _item_indices(self, ids: pl.Series, time_ms: np.ndarray) -> np.ndarray:
        """Indices int32[n]; new items, acted on or shown, are appended in order of time.

        An action counts at the latest time up to its row, so that items that are acted on keep
        the order of the log; an item that is shown and acted on at one time was shown first.
        """
        if not len(ids):
            return np.zeros(0, np.int32)
        moment_ms = np.maximum(np.maximum.accumulate(time_ms), self._latest_ms)
        self._latest_ms = int(moment_ms[-1])
        indices = self.items.indices(ids)
        unknown = np.flatnonzero(indices == 0)
        shown, shown_ms = self._shown.until(self._latest_ms)
        new = pl.DataFrame({ITEM_ID: ids[unknown], TIMESTAMP: moment_ms[unknown]})
        if len(shown):
            earlier = pl.DataFrame({ITEM_ID: shown, TIMESTAMP: shown_ms})
            new = pl.concat([earlier, new.unique(ITEM_ID, keep="first", maintain_order=True)])
            new = new.sort(TIMESTAMP, maintain_order=True)
        self.items = self.items.extended(new[ITEM_ID])
        indices[unknown] = self.items.indices(ids[unknown])
        return indices

    def _action_codes(self, names: pl.Series) -> np.ndarray:
        codes = _codes(names, self.action_types)
        if not codes.all():
            unknown = names[int(np.flatnonzero(codes == 0)[0])]
            raise DatasetError(
                f"action type {unknown!r} is not declared in dataset.yaml; add it to positive, "
                f"neutral or negative (declared: {', '.join(self.action_types[1:])})"
            )
        return codes

    def _surface_codes(self, names: pl.Series) -> np.ndarray:
        for name in names.unique(maintain_order=True).to_list():
            if name and name not in self.surfaces:
                self.surfaces = (*self.surfaces, name)
        require_codes("surfaces", self.surfaces)
        return _codes(names, self.surfaces)

    def _lateness(
        self, batch: pl.DataFrame, time_ms: np.ndarray, duration_s: np.ndarray
    ) -> np.ndarray:
        """Minutes uint16[n] from the end of the stored duration to the (whole) second of arrival.

        What is cut from durations above the float16 range counts as lateness too.
        """
        if ARRIVED_AT not in self._present and not (duration_s > 65504.0).any():
            return np.zeros(len(time_ms), dtype=np.uint16)
        time_s = time_ms // 1000
        end_s = time_s + np.ceil(np.nan_to_num(duration_s).astype(np.float64)).astype(np.int64)
        if ARRIVED_AT in self._present:
            arrived_ms = batch[ARRIVED_AT].fill_null(0).to_numpy()
            end_s = np.maximum(end_s, arrived_ms // 1000)
        stored_end_s = time_s + np.ceil(float16_up(duration_s).astype(np.float32)).astype(np.int64)
        late_min = -(-(end_s - stored_end_s) // 60)
        return late_min.clip(0, NEVER_MIN).astype(np.uint16)

    def _flags(
        self, batch: pl.DataFrame, action: np.ndarray, surface: np.ndarray, duration_s: np.ndarray
    ) -> np.ndarray:
        rules = self._by_type
        positive = rules.positive[action] & (duration_s >= rules.min_duration_s[action])
        if self.spec.surfaces:
            counts = np.array([name in self.spec.surfaces for name in self.surfaces])
            positive &= counts[surface]
        flags = positive * np.uint8(ActionFlag.POSITIVE)
        flags |= rules.negative[action] * np.uint8(ActionFlag.NEGATIVE)
        if TIME_KNOWN in self._present:
            known = batch[TIME_KNOWN].fill_null(True).to_numpy()
            flags |= ~known * np.uint8(ActionFlag.TIME_UNKNOWN)
        return flags


class _TypeRules:
    """What the specification says of each action type, by its code."""

    def __init__(self, spec: DatasetSpec, action_types: tuple[str, ...]) -> None:
        self.positive = np.array([name in spec.positive for name in action_types])
        self.negative = np.array([name in spec.negative for name in action_types])
        shortest = [spec.min_duration_s.get(name, 0.0) for name in action_types]
        self.min_duration_s = np.array(shortest, dtype=np.float32)


def _indexed(vocabulary: Vocabulary, ids: pl.Series) -> tuple[Vocabulary, np.ndarray]:
    indices = vocabulary.indices(ids)
    unknown = np.flatnonzero(indices == 0)
    if len(unknown):
        new = ids[unknown]
        vocabulary = vocabulary.extended(new)
        indices[unknown] = vocabulary.indices(new)
    return vocabulary, indices


def _codes(names: pl.Series, known: tuple[str, ...]) -> np.ndarray:
    """Position uint8[n] of each name in ``known``; 0 for null and unknown ones."""
    codes = names.cast(pl.Enum(list(known[1:])), strict=False).to_physical()
    return (codes.cast(pl.Int16) + 1).fill_null(0).to_numpy().astype(np.uint8)


def _hashes(ids: pl.Series, bits: int) -> np.ndarray:
    """The upper ``bits`` of each id's hash, uint64[n]; 0 for null."""
    hashes = ids.hash().to_numpy() >> np.uint64(64 - bits)
    return np.where(ids.is_null().to_numpy(), 0, hashes)


def _times(timestamp: pl.Series) -> np.ndarray:
    time_ms = timestamp.to_numpy()
    outside = time_ms[(time_ms < 0) | (time_ms > MAX_TIME_S * 1000)]
    if len(outside):
        raise DatasetError(
            f"timestamp {int(outside[0])} ms lies outside 1970..2106; "
            "correct `timestamp_unit` in dataset.yaml (s, ms or us)"
        )
    return time_ms


def _require_complete(batch: pl.DataFrame) -> None:
    for column in NEEDED:
        if batch[column].null_count():
            raise DatasetError(
                f"actions hold {batch[column].null_count():,} rows without {column}; run the "
                "check step, which sets such rows aside, and build from its result"
            )


def require_codes(what: str, names: Sequence[str]) -> None:
    """Raise DatasetError for more names, the empty one first, than a byte can tell apart."""
    if len(names) > MAX_CODES + 1:
        raise DatasetError(
            f"{len(names) - 1} {what}, at most {MAX_CODES} fit; the last is {names[-1]!r}: "
            "join the rare ones under one name"
        )
