"""The baselines that every figure stands beside; the third one is MeanRecentEncoder.

Ties count against a model, so a baseline that left them open would be a straw man: both break
theirs by recency.

Shapes: B queries, C columns, P positive actions.
"""

import numpy as np

from homefeed.clock import DAY_S
from homefeed.data.sequences import SequenceStore
from homefeed.evaluation.cases import rows_of
from homefeed.evaluation.index import Columns
from homefeed.schema import ActionFlag


class RecentPopularity:
    """Items by their positives of all users in the days before the query.

    Equal counts are ordered by the latest positive; items without one share the last place.
    """

    def __init__(self, days: int = 28) -> None:
        self.days, self.name = days, "recent popularity"

    def scorer(self, store: SequenceStore, columns: Columns) -> "_PopularityScorer":
        """Sort the positives by the moment from which they count and by the one until which."""
        return _PopularityScorer(store, columns, self.days * DAY_S)


class _PopularityScorer:
    """Counts that slide forward in time: each positive is added once and taken off once."""

    def __init__(self, store: SequenceStore, columns: Columns, window_s: int) -> None:
        flags = np.asarray(store.flags)
        timed = (flags & ActionFlag.TIME_UNKNOWN) == 0
        rows = np.flatnonzero(timed & ((flags & ActionFlag.POSITIVE) != 0))
        column = columns.column[store.item[rows]]
        rows, column = rows[column >= 0], column[column >= 0]
        time_s, arrival_s = store.time_s[rows].astype(np.int64), store.available_s(rows)
        leave_s = np.maximum(time_s + window_s, arrival_s)  # a late one is not taken off first
        comes, goes = np.argsort(arrival_s, kind="stable"), np.argsort(leave_s, kind="stable")
        self.arrival_s, self.arriving, self.happened_s = (
            arrival_s[comes],
            column[comes],
            time_s[comes],
        )
        self.leave_s, self.leaving = leave_s[goes], column[goes]
        self.num_columns = len(columns.items)
        # Recency stays below one, in steps that float64 keeps apart beside any count.
        self.origin_s = int(time_s.min(initial=0)) - 1
        self.scale = 1 / (int(time_s.max(initial=1)) - self.origin_s + 1)
        self._restart()

    def scores(self, users: np.ndarray, before_s: np.ndarray) -> np.ndarray:
        """Count + recency, float64 [B, C]: the same row for all users of one moment."""
        result = np.empty((len(users), self.num_columns))
        moments, which = np.unique(before_s, return_inverse=True)
        for number, moment in enumerate(moments):
            self._move_to(int(moment))
            recency = (self.latest_s - self.origin_s) * self.scale
            result[which == number] = np.where(self.count > 0, self.count + recency, 0.0)
        return result

    def _restart(self) -> None:
        self.moment, self.arrived, self.left = -1, 0, 0
        self.count = np.zeros(self.num_columns, np.int64)
        self.latest_s = np.full(self.num_columns, self.origin_s, np.int64)

    def _move_to(self, before_s: int) -> None:
        """Count the positives available before ``before_s`` and not older than the window."""
        if before_s < self.moment:
            self._restart()
        self.moment = before_s
        arrived = int(np.searchsorted(self.arrival_s, before_s, side="left"))
        new = slice(self.arrived, arrived)
        np.add.at(self.count, self.arriving[new], 1)
        np.maximum.at(self.latest_s, self.arriving[new], self.happened_s[new])
        left = int(np.searchsorted(self.leave_s, before_s, side="left"))
        np.subtract.at(self.count, self.leaving[self.left : left], 1)
        self.arrived, self.left = arrived, left


class OwnMostFrequent:
    """The user's own items by how often they were positives, equal counts by the latest one."""

    name = "own most frequent"

    def scorer(self, store: SequenceStore, columns: Columns) -> "_OwnScorer":
        """Make ready to read users' positives."""
        return _OwnScorer(store, columns)


class _OwnScorer:
    def __init__(self, store: SequenceStore, columns: Columns) -> None:
        self.store, self.columns = store, columns

    def scores(self, users: np.ndarray, before_s: np.ndarray) -> np.ndarray:
        """Float32 [B, C]: n for the best own item, 1 for the last, 0 for all others."""
        result = np.zeros((len(users), len(self.columns.items)), np.float32)
        for row, (user, before) in enumerate(zip(users, before_s, strict=True)):
            position, _ = rows_of(self.store, np.array([user]))
            liked = (self.store.flags[position] & ActionFlag.POSITIVE) != 0
            position = position[liked]
            position = position[self.store.available_s(position) < before]
            column = self.columns.column[self.store.item[position]]
            column = column[column >= 0]
            own, last, count = np.unique(column[::-1], return_index=True, return_counts=True)
            worst_first = np.lexsort((-last, count))  # `last` counts back from the newest
            result[row, own[worst_first]] = np.arange(1, len(own) + 1)
        return result
