"""Records on their way: one file per partition, written as the log streams by.

Building never holds more than a batch of the log or one piece of a partition; a partition that
is larger than the memory allowed is read several times, a range of its users each time.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from homefeed.data.sequences.encode import RECORD
from homefeed.data.sequences.layout import PARTITIONS, partition_of

NO_END = 2**31  # beyond every slot


class Spill:
    """Partition files below ``folder``; write everything, then read partition by partition."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self._files: list[BinaryIO] = [self._path(p).open("wb") for p in range(PARTITIONS)]

    def write(self, records: np.ndarray) -> None:
        """Append RECORD[n], in the order of the log, to the files of their partitions."""
        partition = partition_of(records["user"])
        ordered = records.take(np.argsort(partition, kind="stable"))  # 8-bit keys: a radix sort
        ends = np.cumsum(np.bincount(partition, minlength=PARTITIONS)).tolist()
        for file, start, end in zip(self._files, [0, *ends], ends, strict=False):
            if end > start:
                file.write(memoryview(ordered[start:end]).cast("B"))

    def close(self) -> None:
        """End writing."""
        for file in self._files:
            file.close()

    def remove(self) -> None:
        """Delete the folder, whatever is left in it."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def pieces(
        self, partition: int, max_records: int, stored: np.ndarray | None = None
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        """Yield (first slot, last slot, records in the order of the log) by ascending slots.

        A slot is a user's place in the partition: user index // 64. A piece holds all records of
        its slots [first, last), and at most ``max_records`` unless a single user has more;
        ``stored`` [slots] adds what each slot will be merged with. The last range covers all
        slots of ``stored``. The file is removed after the last piece.
        """
        path = self._path(partition)
        records = path.stat().st_size // RECORD.itemsize
        if records + (0 if stored is None else stored.sum()) <= max_records:
            yield 0, NO_END, np.fromfile(path, dtype=RECORD)
            path.unlink()
            return
        counts = _slot_counts(path, max_records, 0 if stored is None else len(stored))
        if stored is not None:
            counts[: len(stored)] += stored
        for first, last in _cut(counts, max_records):
            yield first, last, _picked(path, max_records, first, last)
        path.unlink()

    def _path(self, partition: int) -> Path:
        return self.folder / f"{partition:02d}.records"


def _slot_counts(path: Path, block_size: int, slots: int) -> np.ndarray:
    """Records int64[≥ slots] per slot of one partition file."""
    counts = np.zeros(slots, dtype=np.int64)
    for block in _blocks(path, block_size):
        seen = np.bincount(block["user"] // PARTITIONS, minlength=len(counts))
        seen[: len(counts)] += counts
        counts = seen
    return counts


def _picked(path: Path, block_size: int, first: int, last: int) -> np.ndarray:
    picked = [np.empty(0, dtype=RECORD)]
    for block in _blocks(path, block_size):
        slot = block["user"] // PARTITIONS
        picked.append(block.take(np.flatnonzero((slot >= first) & (slot < last))))
    return np.concatenate(picked)


def _blocks(path: Path, max_records: int) -> Iterator[np.ndarray]:
    with path.open("rb") as stream:
        while len(block := np.fromfile(stream, dtype=RECORD, count=max_records)):
            yield block


def _cut(counts: np.ndarray, limit: int) -> list[tuple[int, int]]:
    """Consecutive ranges [first, last) whose counts sum to at most ``limit`` (or a single one)."""
    ranges, first, total = [], 0, 0
    for index, count in enumerate(counts.tolist()):
        if total and total + count > limit:
            ranges.append((first, index))
            first, total = index, 0
        total += count
    return [*ranges, (first, len(counts))]
