"""Showings: who was shown which item when, to be asked for the last time before a moment.

Shapes: E showings, n questions.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from homefeed.data.contract import Dataset
from homefeed.data.familiarity import NEVER_MS
from homefeed.data.vocabulary import Vocabulary
from homefeed.schema import IMPRESSIONS, ITEM_ID, TIMESTAMP, USER_ID


@dataclass(frozen=True)
class Showings:
    """What was shown to whom and when, ordered by (user, item, time)."""

    pairs: np.ndarray  # int64 [pairs] user * stride + item, ascending
    keys: np.ndarray  # int64 [E] place of the pair * span + time since the first, ascending
    stride: int
    first_ms: int
    span_ms: int

    @classmethod
    def of(cls, user: np.ndarray, item: np.ndarray, time_ms: np.ndarray) -> "Showings":
        """Order showings [E]; users and items are indices, unknown ones (0) do not count."""
        known = (user > 0) & (item > 0)
        user, item, time_ms = user[known].astype(np.int64), item[known], time_ms[known]
        stride = int(item.max(initial=0)) + 1
        first_ms = int(time_ms.min()) if len(time_ms) else 0
        span_ms = int(time_ms.max()) - first_ms + 2 if len(time_ms) else 1
        pairs, place = np.unique(user * stride + item, return_inverse=True)
        keys = np.sort(place * span_ms + (time_ms - first_ms))
        return cls(pairs, keys, stride, first_ms, span_ms)

    @classmethod
    def read(
        cls,
        dataset: Dataset,
        viewers: Vocabulary,
        items: Vocabulary,
        from_ms: int,
        before_ms: int,
    ) -> "Showings":
        """The impressions of ``dataset`` in [from, before); users are numbered by ``viewers``."""
        shown = (
            dataset.scan(IMPRESSIONS)
            .filter((pl.col(TIMESTAMP) >= from_ms) & (pl.col(TIMESTAMP) < before_ms))
            .select(USER_ID, ITEM_ID, TIMESTAMP)
            .collect()
        )
        user, item = viewers.indices(shown[USER_ID]), items.indices(shown[ITEM_ID])
        return cls.of(user, item, shown[TIMESTAMP].to_numpy())

    def last_before(self, user: np.ndarray, item: np.ndarray, before_ms: np.ndarray) -> np.ndarray:
        """Time int64 [n] of the last showing strictly before, NEVER_MS where there was none."""
        never = np.full(len(user), NEVER_MS, np.int64)
        if not len(self.keys):
            return never
        wanted = user.astype(np.int64) * self.stride + item
        place = np.minimum(np.searchsorted(self.pairs, wanted), len(self.pairs) - 1)
        shown = (self.pairs[place] == wanted) & (user > 0) & (item > 0) & (item < self.stride)
        since_ms = np.clip(before_ms - self.first_ms, 0, self.span_ms - 1)
        at = np.searchsorted(self.keys, place * self.span_ms + since_ms) - 1
        found = self.keys[np.maximum(at, 0)]
        shown &= (at >= 0) & (found // self.span_ms == place)
        return np.where(shown, found % self.span_ms + self.first_ms, never)
