"""Day-lagged statistics of every item, as they stood when a day began.

What a request of some day may know about an item was settled on earlier days: an action counts
from its availability (time, duration, arrival), an impression's labels ``label_lag_s`` after it
was shown, and both only strictly before the start of the request's day (UTC). The ranker reads
them as features, and by themselves they are the popularity ranker.

Where a set has no impressions, an item's actions stand for its exposures.

Shapes: I items (row 0 is padding), H heads, S statistics, E exposures, A actions, C counts.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from homefeed.clock import DAY_S
from homefeed.data.contract import Dataset
from homefeed.data.items import NO_TIME
from homefeed.data.sequences import SequenceStore
from homefeed.schema import IMPRESSIONS, ITEM_ID, TIMESTAMP, ActionFlag

WINDOW_DAYS = 7
LABEL_LAG_S = 3_600  # labels of an impression are settled an hour after it was shown
PRIOR_EXPOSURES = 20.0  # an item's rate starts as if shown so often at the average rate


@dataclass(frozen=True, kw_only=True)
class Events:
    """What is counted: one row per event, ordered by the day on which it became known."""

    day: np.ndarray  # int64 [n]: the event counts from the start of the day after this one
    item: np.ndarray  # int32 [n]
    counts: np.ndarray  # float32 [n, C]: what one event adds to its item

    def totals(self, first_day: int, last_day: int, items: int) -> np.ndarray:
        """Sums float64 [items, C] over first_day ≤ day < last_day."""
        low, high = np.searchsorted(self.day, [first_day, last_day])
        item = self.item[low:high]
        columns = [
            np.bincount(item, weights=column, minlength=items) for column in self.counts[low:high].T
        ]
        return np.stack(columns, axis=1)


class _Running:
    """Sums of events before a day; what was summed for an earlier day is not summed again."""

    def __init__(self, events: Events) -> None:
        self.events = events
        self._day, self._sum = -1, 0.0

    def before(self, day: int, days: int | None, items: int) -> np.ndarray:
        """Sums float64 [items, C] over the ``days`` before ``day``; over all where None."""
        if days is not None:
            return self.events.totals(day - days, day, items)
        if day < self._day:
            self._day, self._sum = -1, 0.0
        # Counts are whole numbers, exact in float64: their order does not matter.
        self._sum = self._sum + self.events.totals(max(self._day, 0), day, items)
        self._day = day
        return self._sum


class ItemStats:
    """Statistics as of the start of any day; make it with ``build_item_stats``."""

    def __init__(
        self,
        *,
        heads: tuple[str, ...],
        exposures: Events,
        actions: Events,
        created_s: np.ndarray,
        has_impressions: bool,
    ) -> None:
        """Exposures count [1, labels…], actions [1, is positive]; created_s int64 [I+1]."""
        self.heads, self.created_s = heads, created_s
        self.has_impressions = has_impressions
        self._exposures, self._actions = _Running(exposures), _Running(actions)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the S columns."""
        return stat_names(self.heads)

    def as_of(self, time_s: int) -> np.ndarray:
        """Statistics float32 [I+1, S] for requests of the day that holds ``time_s``."""
        day, items = int(time_s) // DAY_S, len(self.created_s)
        columns = []
        for days in (WINDOW_DAYS, None):
            shown = self._exposures.before(day, days, items)
            acted = self._actions.before(day, days, items)
            columns += [np.log1p(shown[:, :1]), np.log1p(acted), _smoothed_rates(shown)]
        known_s = np.where(self.created_s == NO_TIME, day * DAY_S, self.created_s)
        age_days = np.maximum(day * DAY_S - known_s, 0) / DAY_S
        stats = np.concatenate([*columns, np.log1p(age_days)[:, None]], axis=1).astype(np.float32)
        stats[0] = 0
        return stats


def stat_names(heads: tuple[str, ...]) -> tuple[str, ...]:
    """Columns: for the last seven days and for all of them exposures, actions, rates; then age."""
    names = []
    for window in ("_7d", ""):
        names += [f"log_exposures{window}", f"log_actions{window}", f"log_positives{window}"]
        names += [f"{head}_rate{window}" for head in heads]
    return (*names, "log_age_days")


def popularity_column(heads: tuple[str, ...], head: str, *, has_impressions: bool) -> int:
    """Which statistic ranks by popularity: the head's rate, or positives without impressions."""
    name = f"{head}_rate" if has_impressions else "log_positives"
    return stat_names(heads).index(name)


def build_item_stats(
    dataset: Dataset,
    store: SequenceStore,
    created_s: np.ndarray,
    *,
    label_lag_s: int = LABEL_LAG_S,
) -> ItemStats:
    """Read the events of ``dataset``; ``created_s`` int64 [I+1] as ``load_items`` gives it.

    Heads are the labels of the impressions, or the positive action types where there are none.
    An item without a recorded creation counts from the first day on which it was met.
    """
    flags, available_s = np.asarray(store.flags), store.available_s(slice(None))
    positive = (flags & ActionFlag.POSITIVE) != 0
    item = np.asarray(store.item)
    actions = _events(available_s, item, np.stack([np.ones(len(item)), positive], axis=1))
    if dataset.has(IMPRESSIONS):
        heads = dataset.spec.labels
        exposures = _impressions(dataset, store, heads, label_lag_s)
    else:
        heads = tuple(t for t in store.meta.action_types if t in dataset.spec.positive)
        codes = [store.meta.action_types.index(head) for head in heads]
        labels = (np.asarray(store.action)[:, None] == codes) & positive[:, None]
        counts = np.concatenate([np.ones((len(item), 1)), labels], axis=1)
        exposures = _events(available_s, item, counts)
    return ItemStats(
        heads=heads,
        exposures=exposures,
        actions=actions,
        created_s=_met(created_s, exposures, actions),
        has_impressions=dataset.has(IMPRESSIONS),
    )


def _impressions(
    dataset: Dataset, store: SequenceStore, heads: tuple[str, ...], label_lag_s: int
) -> Events:
    rows = dataset.scan(IMPRESSIONS).select(ITEM_ID, TIMESTAMP, *heads).collect()
    labels = rows.select(pl.col(heads).fill_null(0)).to_numpy()
    counts = np.concatenate([np.ones((len(labels), 1)), labels], axis=1)
    known_s = rows[TIMESTAMP].to_numpy() // 1000 + label_lag_s
    return _events(known_s, store.items.indices(rows[ITEM_ID]), counts)


def _events(known_s: np.ndarray, item: np.ndarray, counts: np.ndarray) -> Events:
    """Order events by the day on which they became known."""
    day = known_s // DAY_S
    order = np.argsort(day, kind="stable")
    return Events(day=day[order], item=item[order], counts=counts[order].astype(np.float32))


def _smoothed_rates(shown: np.ndarray) -> np.ndarray:
    """Exposures and labels [I+1, 1+H] → rates [I+1, H], drawn towards the average rate."""
    exposures, labels = shown[:, :1], shown[:, 1:]
    average = labels.sum(0) / max(exposures.sum(), 1.0)
    return (labels + PRIOR_EXPOSURES * average) / (exposures + PRIOR_EXPOSURES)


def _met(created_s: np.ndarray, *events: Events) -> np.ndarray:
    """``created_s`` with unknown ages replaced by the start of the day after the first event."""
    first = np.full(len(created_s), np.iinfo(np.int64).max)
    for each in events:
        np.minimum.at(first, each.item, (each.day + 1) * DAY_S)
    met = np.where(first == np.iinfo(np.int64).max, NO_TIME, first)
    return np.where(created_s == NO_TIME, met, created_s)
