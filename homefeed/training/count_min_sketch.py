"""Count-min sketch (Cormode and Muthukrishnan, 2005): how often was a key seen, in fixed memory.

Never below the true count; above it by more than e/width of all counts with probability at most
e^-depth. PinnerFormer (KDD'22, 3.3.2) approximates the sampling probabilities Q with it.
"""

import numpy as np

from homefeed.training.keyed_random import keyed_bits

LEAST_WIDTH, MOST_WIDTH = 1 << 20, 1 << 26  # 8 MiB … 512 MiB in two rows


class CountMinSketch:
    """Counts of integer keys in ``depth`` rows of ``width`` counters.

    ``width`` is a power of two. ``counts`` uint32 [depth, width] is the whole state.
    """

    def __init__(self, width: int, depth: int = 2) -> None:
        if width < 1 or width & (width - 1):
            raise ValueError(f"sketch width ({width}) must be a power of two")
        self.counts = np.zeros((depth, width), dtype=np.uint32)
        self.total = 0

    def add(self, key_K: np.ndarray) -> None:
        """Count each of the keys [K] once more (a key may occur several times)."""
        for row, slot in zip(self.counts, self._slots(key_K), strict=True):
            np.add.at(row, slot, 1)
        self.total += len(key_K)

    def count(self, key_K: np.ndarray) -> np.ndarray:
        """Estimated counts int64 [K] of the keys [K]."""
        slots = self._slots(key_K)
        rows = [row[slot] for row, slot in zip(self.counts, slots, strict=True)]
        return np.minimum.reduce(rows).astype(np.int64)

    def _slots(self, key_K: np.ndarray) -> list[np.ndarray]:
        mask = np.uint64(self.counts.shape[1] - 1)
        return [(keyed_bits(d, key_K) & mask).astype(np.int64) for d in range(len(self.counts))]


def width_for(keys: int) -> int:
    """The width for so many distinct keys: twice as many counters a row, within the limits.

    Below the limit a key then shares both its counters, and is counted too often at all, with
    probability (1 - e^-1/2)^2 = 0.15 at most.
    """
    enough = 1 << max(2 * keys - 1, 0).bit_length()
    return min(max(enough, LEAST_WIDTH), MOST_WIDTH)
