"""Writing a store: columns appended piece by piece, hashed as they pass, closed with metadata."""

import hashlib
from pathlib import Path

import numpy as np

from homefeed.data.sequences.layout import (
    COLUMNS,
    ITEM_VOCABULARY,
    MAX_TIME_S,
    NEVER_MIN,
    USER_VOCABULARY,
    USERS_FILE,
    VOCABULARY_FOLDER,
    StoreMeta,
    delay_s,
    users_in_store_order,
)
from homefeed.data.sequences.order import Removed
from homefeed.data.vocabulary import Vocabulary
from homefeed.errors import DatasetError
from homefeed.schema import ActionFlag


class StoreWriter:
    """Takes whole users in store order; ``finish`` writes what makes the folder a store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = {name: (folder / file).open("wb") for name, (file, _) in COLUMNS.items()}
        # SHA-256 has instructions of its own: twice as fast here as BLAKE2.
        self._digests = {name: hashlib.sha256() for name in COLUMNS}
        self._counts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._first_s, self._last_s, self.action_count = MAX_TIME_S, 0, 0
        self._never_count = 0

    def write(self, user: np.ndarray, columns: dict[str, np.ndarray]) -> None:
        """Append actions of whole users: ``user`` int[n] in store order, columns [n] by name."""
        if not len(user):
            return
        for name, (_, dtype) in COLUMNS.items():
            content = memoryview(np.ascontiguousarray(columns[name], dtype=dtype)).cast("B")
            self._digests[name].update(content)
            self._files[name].write(content)
        begins = np.flatnonzero(np.r_[True, user[1:] != user[:-1]])
        delays = delay_s(columns["duration"], columns["late_min"])
        longest = np.maximum.reduceat(delays, begins)
        self._counts.append((user[begins], np.diff(np.r_[begins, len(user)]), longest))
        self._widen(columns)
        self._never_count += int(np.count_nonzero(columns["late_min"] == NEVER_MIN))
        self.action_count += len(user)

    def _widen(self, columns: dict[str, np.ndarray]) -> None:
        """Take the times that are known into the span."""
        known = (columns["flags"] & ActionFlag.TIME_UNKNOWN) == 0
        times = columns["time_s"][known]
        if len(times):
            self._first_s = min(self._first_s, int(times.min()))
            self._last_s = max(self._last_s, int(times.max()))

    def close(self) -> None:
        """Close the column files."""
        for file in self._files.values():
            file.close()

    def finish(
        self,
        users: Vocabulary,
        items: Vocabulary,
        action_types: tuple[str, ...],
        surfaces: tuple[str, ...],
        duplicates: Removed,
        dataset_fingerprint: str,
    ) -> StoreMeta:
        """Write offsets, vocabularies and metadata; DatasetError where there were no actions."""
        self.close()
        if not self.action_count:
            raise DatasetError("the data set holds no actions; there is nothing to learn from")
        start, length, delay = self._user_arrays(users.size)
        with (self.folder / USERS_FILE).open("wb") as file:
            np.savez(file, start=start, length=length, delay_s=delay)
        (self.folder / VOCABULARY_FOLDER).mkdir()
        users.save(self.folder / VOCABULARY_FOLDER / USER_VOCABULARY)
        items.save(self.folder / VOCABULARY_FOLDER / ITEM_VOCABULARY)
        meta = StoreMeta(
            action_types=action_types,
            surfaces=surfaces,
            item_count=items.size,
            user_count=users.size,
            action_count=self.action_count,
            first_s=min(self._first_s, self._last_s),  # 0 where no time is known
            last_s=self._last_s,
            duplicate_count=duplicates.rows,
            content_hash=self._content_hash(length),
            users_hash=users.hash,
            items_hash=items.hash,
            dataset_fingerprint=dataset_fingerprint,
            never_count=self._never_count,
            other_request_count=duplicates.other_request,
        )
        meta.write(self.folder)
        return meta

    def _user_arrays(self, user_count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        length = np.zeros(user_count + 1, dtype=np.int32)
        delay = np.zeros(user_count + 1, dtype=np.int64)
        for users, lengths, delays in self._counts:
            length[users], delay[users] = lengths, delays
        start = np.zeros(user_count + 1, dtype=np.int64)
        order = users_in_store_order(user_count)
        start[order] = np.cumsum(length[order], dtype=np.int64) - length[order]
        return start, length, delay

    def _content_hash(self, length: np.ndarray) -> str:
        digest = hashlib.blake2b(length.astype("<i4").tobytes(), digest_size=8)
        for each in self._digests.values():
            digest.update(each.digest())
        return digest.hexdigest()
