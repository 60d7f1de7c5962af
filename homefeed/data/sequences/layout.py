"""What a sequence store is on disk: columns, order, metadata.

Fifteen bytes an action in seven flat files, each memory-mapped as it is:

    item.i32  action.u8  surface.u8  flags.u8  time.u32  duration.f16  late.u16

Rows are ordered by partition (user index modulo 64), then user index, then time; ties keep the
order of the log. The partition count is part of the format, not a setting, so one log gives one
store, byte for byte, whatever memory it was built with. ``users.npz`` holds, by user index (row 0
is the padding user): start int64[U+1], length int32[U+1], delay_s int64[U+1].
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from homefeed.artifacts import read_json, write_json
from homefeed.errors import ArtifactError
from homefeed.schema import SEQUENCE_STORE_VERSION

PARTITIONS = 64  # a change changes the row order: raise SEQUENCE_STORE_VERSION with it

# Column → file and type. Ranges: times to the year 2106, durations to 18 h (the rest of a longer
# one goes into late), lateness to 45 days.
COLUMNS: dict[str, tuple[str, np.dtype]] = {
    "item": ("item.i32", np.dtype("<i4")),
    "action": ("action.u8", np.dtype("u1")),
    "surface": ("surface.u8", np.dtype("u1")),
    "flags": ("flags.u8", np.dtype("u1")),
    "time_s": ("time.u32", np.dtype("<u4")),
    "duration": ("duration.f16", np.dtype("<f2")),
    "late_min": ("late.u16", np.dtype("<u2")),
}

META_FILE = "meta.json"
USERS_FILE = "users.npz"
VOCABULARY_FOLDER = "vocabulary"
USER_VOCABULARY = "users.parquet"
ITEM_VOCABULARY = "items.parquet"

MAX_TIME_S = 2**32 - 1
MAX_DURATION_S = 65504.0  # the largest finite float16
NEVER_MIN = 65535  # this late or later: the action counts for no request
NEVER_DELAY_S = 2**40  # the delay of such an action: longer than all of recorded time


@dataclass(frozen=True, kw_only=True)
class StoreMeta:
    """``meta.json`` of a sequence store. Code 0 of types and surfaces is padding: ""."""

    action_types: tuple[str, ...]
    surfaces: tuple[str, ...]
    item_count: int  # of the item vocabulary, padding not counted
    user_count: int
    action_count: int
    first_s: int  # earliest time that is known (untimed history does not count); 0 if none
    last_s: int  # latest time that is known
    duplicate_count: int  # exact duplicates removed, over all days
    content_hash: str  # over all columns and lengths
    users_hash: str
    items_hash: str
    dataset_fingerprint: str
    never_count: int  # stored, but they count for no request: NEVER_MIN late or later
    other_request_count: int  # of the duplicates, those that named another request
    version: int = SEQUENCE_STORE_VERSION

    def write(self, folder: Path) -> None:
        """Write ``meta.json`` below ``folder``."""
        write_json(folder / META_FILE, dataclasses.asdict(self))

    @classmethod
    def read(cls, folder: Path) -> "StoreMeta":
        """Read ``meta.json``; ArtifactError for another version or a missing key."""
        values: dict[str, Any] = read_json(folder / META_FILE)
        if values.get("version") != SEQUENCE_STORE_VERSION:
            raise ArtifactError(
                f"sequence store {folder} has version {values.get('version')}, this code reads "
                f"version {SEQUENCE_STORE_VERSION}; build the sequences again"
            )
        try:
            values["action_types"] = tuple(values["action_types"])
            values["surfaces"] = tuple(values["surfaces"])
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise ArtifactError(
                f"{folder / META_FILE} is incomplete ({error}); build the sequences again"
            ) from None


def partition_of(user: np.ndarray) -> np.ndarray:
    """Partition uint8[n] of user indices [n]; indices are handed out in turn, so it is even."""
    return (user % PARTITIONS).astype(np.uint8)


def users_in_store_order(user_count: int) -> np.ndarray:
    """All user indices 1..user_count, int64, in the order in which their rows lie."""
    users = np.arange(1, user_count + 1, dtype=np.int64)
    return users[np.argsort(partition_of(users), kind="stable")]


def float16_up(duration_s: np.ndarray) -> np.ndarray:
    """Seconds float32[n] → float16[n], rounded up and capped: never shorter, save by the cap.

    Rounding up keeps an action from counting before it had ended; absent and negative are 0.
    """
    seconds = np.nan_to_num(duration_s, nan=0.0).clip(0.0, MAX_DURATION_S)
    half = seconds.astype(np.float16)
    low = np.flatnonzero(half < seconds)
    half[low] = np.nextafter(half[low], np.float16(np.inf))
    return half


def delay_s(duration: np.ndarray, late_min: np.ndarray) -> np.ndarray:
    """Seconds int64[n] from an action's (whole) second until it is available."""
    seconds = np.ceil(duration.astype(np.float32)).astype(np.int64)
    seconds += late_min.astype(np.int64) * 60
    seconds[late_min == NEVER_MIN] = NEVER_DELAY_S
    return seconds
