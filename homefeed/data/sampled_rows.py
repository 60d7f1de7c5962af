"""Requests where nothing was logged as shown: each positive among sampled candidates.

A stand-in, said so in the training set's metadata: what a ranker learns from it is to tell what
a user took from what was merely there, and its probabilities depend on how many were drawn.

Shapes: R requests, n rows, H heads, N sampled candidates per request.
"""

from dataclasses import dataclass

import numpy as np

from homefeed.clock import DAY_S
from homefeed.data.item_stats import ItemStats
from homefeed.data.ranking_rows import RankingRows, split_of
from homefeed.data.sequences import SequenceStore
from homefeed.data.splits import Timeline, window_text
from homefeed.errors import DatasetError
from homefeed.plain_values import between, require_count, seed_number
from homefeed.schema import ActionFlag


@dataclass(frozen=True, kw_only=True)
class CandidateSampling:
    """How candidates are drawn beside the positives."""

    candidates: int = 20  # per request
    uniform_share: float = 0.5  # drawn uniformly among items met before; the rest by popularity
    max_requests: int | None = None  # at most so many, evenly over time; None: all
    seed: int = 0

    def __post_init__(self) -> None:
        between("candidates", self.candidates, 1)
        between("uniform_share", self.uniform_share, 0, 1)
        require_count("ranker.training_set.sampling.max_requests", self.max_requests)
        seed_number("seed", self.seed)


def rows_from_positives(
    store: SequenceStore, stats: ItemStats, timeline: Timeline, sampling: CandidateSampling
) -> tuple[RankingRows, int]:
    """Positives of t0 < t ≤ t2 as requests: a user's positives of one second are one request.

    Candidates come from the items that had been acted on before the request's day; those that the
    user took in the same request are left out. Positives of unknown time are no requests.

    Positives of an item that nobody had acted on before the day are left out, and their number is
    returned beside the rows: no candidate is such an item, so that alone would tell the label.
    """
    user, time_s, position = _positives(store, timeline)
    count = len(position)
    was_met = _were_met(np.asarray(store.item[position]), time_s, stats)
    if not was_met.any():
        raise DatasetError(
            f"none of the {count:,} positive actions after {timeline.t0_s} (seconds UTC) is of an "
            "item that was acted on before that day, so nothing can be ranked; choose a later t0"
        )
    user, time_s, position = user[was_met], time_s[was_met], position[was_met]
    key = np.stack([time_s, user])
    starts = np.flatnonzero(np.diff(key, prepend=-1).any(0))
    starts, kept = _thinned(starts, len(user), sampling.max_requests)
    user, time_s, position = user[kept], time_s[kept], position[kept]
    request = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(user))))
    positive = _Positives(
        request, np.asarray(store.item[position]), np.asarray(store.action[position])
    )
    drawn = _drawn(time_s[starts], stats, sampling)
    rows = _joined(
        store, stats, timeline, user[starts], time_s[starts], positive, drawn, position[starts]
    )
    return rows, count - len(position)


@dataclass(frozen=True)
class _Positives:
    request: np.ndarray  # int64 [p]
    item: np.ndarray  # int32 [p]
    action: np.ndarray  # uint8 [p]


def _positives(
    store: SequenceStore, timeline: Timeline
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """User, time and store position of every timed positive, ordered by time and user."""
    flags, time_s = np.asarray(store.flags), np.asarray(store.time_s).astype(np.int64)
    wanted = (flags & ActionFlag.POSITIVE != 0) & (flags & ActionFlag.TIME_UNKNOWN == 0)
    position = np.flatnonzero(wanted & (time_s > timeline.t0_s) & (time_s <= timeline.t2_s))
    if not len(position):
        raise DatasetError(
            f"no positive actions {window_text(timeline.t0_s, timeline.t2_s)}; set "
            "sequences.ranker_days and sequences.evaluation_days, or declare more action types "
            "positive"
        )
    by_row = np.argsort(store.start[1:], kind="stable") + 1
    by_row = by_row[store.length[by_row] > 0]
    user = by_row[np.searchsorted(store.start[by_row], position, side="right") - 1]
    order = np.lexsort((user, time_s[position]))
    return user[order], time_s[position][order], position[order]


def _actions_before(stats: ItemStats, day: int) -> np.ndarray:
    """How often each item had been acted on before a day (number since 1970), float64 [I+1]."""
    column = stats.names.index("log_actions")
    return np.expm1(stats.as_of(day * DAY_S)[:, column].astype(np.float64))


def _were_met(item: np.ndarray, time_s: np.ndarray, stats: ItemStats) -> np.ndarray:
    """Whether anybody had acted on each item before the day of its time, bool [p]."""
    day = time_s // DAY_S
    met = np.zeros(len(item), bool)
    for each in np.unique(day):
        rows = day == each
        met[rows] = _actions_before(stats, int(each))[item[rows]] > 0.5
    return met


def _thinned(starts: np.ndarray, count: int, most: int | None) -> tuple[np.ndarray, np.ndarray]:
    """At most ``most`` requests evenly over time: their new starts and the mask of kept rows."""
    if most is None or len(starts) <= most:
        return starts, np.ones(count, bool)
    chosen = np.linspace(0, len(starts) - 1, most).round().astype(np.int64)
    sizes = np.diff(np.append(starts, count))
    keep = np.zeros(len(starts), bool)
    keep[chosen] = True
    return np.append(0, np.cumsum(sizes[chosen])[:-1]), np.repeat(keep, sizes)


def _drawn(time_s: np.ndarray, stats: ItemStats, sampling: CandidateSampling) -> np.ndarray:
    """Item indices int64 [R, N] drawn per request among the items met before its day."""
    generator = np.random.default_rng(sampling.seed)
    drawn = np.zeros((len(time_s), sampling.candidates), np.int64)
    day = time_s // DAY_S
    for each in np.unique(day):
        rows = np.flatnonzero(day == each)
        counts = _actions_before(stats, int(each))
        met = np.flatnonzero(counts > 0.5)  # of every day: it has a positive that was met
        shape = (len(rows), sampling.candidates)
        cumulative = np.cumsum(counts[met])
        place = np.searchsorted(cumulative, generator.random(shape) * cumulative[-1], side="right")
        popular = met[np.minimum(place, len(met) - 1)]
        uniform = met[generator.integers(len(met), size=shape)]
        drawn[rows] = np.where(generator.random(shape) < sampling.uniform_share, uniform, popular)
    return drawn


def _joined(
    store: SequenceStore,
    stats: ItemStats,
    timeline: Timeline,
    user: np.ndarray,
    time_s: np.ndarray,
    positive: _Positives,
    drawn: np.ndarray,
    first_position: np.ndarray,
) -> RankingRows:
    """Positives and candidates of each request together, one row per item."""
    codes = [store.meta.action_types.index(head) for head in stats.heads]
    requests, per_request = drawn.shape
    request = np.concatenate([positive.request, np.repeat(np.arange(requests), per_request)])
    item = np.concatenate([positive.item.astype(np.int64), drawn.ravel()])
    labels = np.zeros((len(item), len(codes)), np.uint8)
    labels[: len(positive.item)] = positive.action[:, None] == codes
    size = store.meta.item_count + 1
    pair, row = np.unique(request * size + item, return_inverse=True)
    merged = np.zeros((len(pair), len(codes)), np.uint8)
    np.maximum.at(merged, row, labels)  # an item taken in two ways has both labels
    request, item = pair // size, pair % size
    kept = item > 0
    request, item, merged = request[kept], item[kept], merged[kept]
    begin = np.searchsorted(request, np.arange(requests))
    time_ms = time_s * 1000
    return RankingRows(
        user=user.astype(np.int32),
        viewer=user.astype(np.int32),
        time_ms=time_ms,
        surface=np.asarray(store.surface[first_position]),
        split=split_of(time_ms, timeline),
        request=request.astype(np.int32),
        item=item.astype(np.int32),
        position=(np.arange(len(request)) - begin[request] + 1).astype(np.int32),
        labels=merged,
        weight=np.ones(len(request), np.float32),
        heads=stats.heads,
    )
