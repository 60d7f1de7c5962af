"""The sequence store: every user's whole timeline, memory-mapped.

Processes on one machine that open the same store share its pages. The rows of one user are
contiguous and chronological; a *position* is a row number of the store.
"""

import zipfile
from functools import cached_property
from pathlib import Path

import numpy as np

from homefeed.data.sequences.layout import (
    COLUMNS,
    ITEM_VOCABULARY,
    USER_VOCABULARY,
    USERS_FILE,
    VOCABULARY_FOLDER,
    StoreMeta,
    delay_s,
)
from homefeed.data.sequences.lookup import last_available
from homefeed.data.vocabulary import Vocabulary
from homefeed.errors import ArtifactError, UnknownIdError


class SequenceStore:
    """Read access to a store; ``SequenceStore.open(path)``.

    A actions, U users. Columns by position: item int32[A], action uint8[A], surface uint8[A],
    flags uint8[A] (bits: schema.ActionFlag), time_s uint32[A] (seconds since epoch UTC, rounded
    down), duration float16[A] (seconds, rounded up), late_min uint16[A] (minutes until arrival
    after the action had ended, rounded up; 65535: never). By user index (0 is padding):
    start int64[U+1], length int32[U+1], delay_s int64[U+1] (longest delay until available).
    """

    item: np.ndarray
    action: np.ndarray
    surface: np.ndarray
    flags: np.ndarray
    time_s: np.ndarray
    duration: np.ndarray
    late_min: np.ndarray

    def __init__(self, path: Path, meta: StoreMeta) -> None:
        self.path, self.meta = path, meta
        for name, (file, dtype) in COLUMNS.items():
            setattr(self, name, _mapped(path / file, dtype, meta.action_count))
        self.start, self.length, self.delay_s = _user_arrays(path / USERS_FILE, meta)

    @classmethod
    def open(cls, path: Path) -> "SequenceStore":
        """Open a store; ArtifactError where it is missing, truncated, or of another version."""
        path = Path(path)
        if not path.is_dir():
            raise ArtifactError(f"sequence store {path} does not exist; run the sequences step")
        return cls(path, StoreMeta.read(path))

    @cached_property
    def users(self) -> Vocabulary:
        """External user ids ⇄ user indices."""
        return self._vocabulary(USER_VOCABULARY, self.meta.user_count)

    @cached_property
    def items(self) -> Vocabulary:
        """External item ids ⇄ item indices."""
        return self._vocabulary(ITEM_VOCABULARY, self.meta.item_count)

    def rows(self, user: int) -> slice:
        """Positions of one user's actions, oldest first, ties in the order of the log.

        UnknownIdError for an index outside 0..U; the padding user 0 has none.
        """
        if not 0 <= user <= self.meta.user_count:
            raise UnknownIdError(
                f"user index {user} is outside 1..{self.meta.user_count}: it names no user"
            )
        start = int(self.start[user])
        return slice(start, start + int(self.length[user]))

    def available_s(self, rows: slice | np.ndarray) -> np.ndarray:
        """Seconds int64[n] from which on an action counts: for requests strictly after it.

        The whole second of its time, plus its duration, plus its lateness of arrival. Rounding
        is always towards later: a request at whole second r sees only what was there before r.
        """
        delay = delay_s(np.asarray(self.duration[rows]), np.asarray(self.late_min[rows]))
        return np.asarray(self.time_s[rows]) + delay

    def last_available(self, users: np.ndarray, before_s: np.ndarray, count: int) -> np.ndarray:
        """Positions int64[R, L] of each request's last ``count`` actions, newest first, -1 padding.

        ``users`` int[R] are user indices, ``before_s`` int[R] request times in whole seconds
        (rounded down). Only actions whose ``available_s`` is strictly before the request count.
        """
        users = self._checked(users)
        begin = self.start[users]
        return last_available(
            (self.time_s, self.duration, self.late_min),
            begin,
            begin + self.length[users],
            self.delay_s[users],
            np.asarray(before_s, dtype=np.int64),
            count,
        )

    def _checked(self, users: np.ndarray) -> np.ndarray:
        users = np.asarray(users)
        outside = users[(users < 0) | (users > self.meta.user_count)]
        if len(outside):
            raise UnknownIdError(
                f"user index {int(outside[0])} is outside 1..{self.meta.user_count}"
            )
        return users

    def _vocabulary(self, file: str, size: int) -> Vocabulary:
        path = self.path / VOCABULARY_FOLDER / file
        vocabulary = Vocabulary.open(path)
        if vocabulary.size != size:
            raise ArtifactError(
                f"{path} holds {vocabulary.size:,} ids, the store needs {size:,}; "
                "build the sequences again"
            )
        return vocabulary


def _mapped(path: Path, dtype: np.dtype, count: int) -> np.ndarray:
    expected = count * dtype.itemsize
    found = path.stat().st_size if path.exists() else 0
    if found != expected:
        raise ArtifactError(
            f"{path} has {found:,} bytes, {count:,} actions need {expected:,}; "
            "the store is truncated: build the sequences again"
        )
    return np.memmap(path, dtype=dtype, mode="r")


def _user_arrays(path: Path, meta: StoreMeta) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    try:
        with np.load(path) as arrays:
            start, length, delay = arrays["start"], arrays["length"], arrays["delay_s"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ArtifactError(f"{path} cannot be read ({error}); build sequences again") from None
    if not len(start) == len(length) == len(delay) == meta.user_count + 1:
        raise ArtifactError(
            f"{path} holds {len(start):,} users, meta.json {meta.user_count + 1:,} with padding; "
            "build the sequences again"
        )
    return start, length, delay
