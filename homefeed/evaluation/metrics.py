"""Retrieval metrics, as PinnerFormer defines them (KDD'22, section 4.1): pure NumPy kernels.

Shapes: B queries in a chunk, I items of the index, C columns (index items, then positives that
the index does not hold), T targets, U users, K depth.

A *rank* here counts what stands before a positive: 0 is best. Ties count against the model, the
positive itself does not. A score that is not a number counts against the model on either side.
"""

import numpy as np
import torch

SORT_FROM_TARGETS = 12  # a row with more targets than this is sorted once instead of scanned


def pessimistic_ranks(
    scores: np.ndarray, num_index: int, target_row: np.ndarray, target_column: np.ndarray
) -> np.ndarray:
    """Count, for each target, the index items that score at least as high, itself not counted.

    scores [B, C] floats, the first ``num_index`` columns being the index; target_row [T] and
    target_column [T] say where the targets' own scores stand. Returns int64 [T]. Comparisons are
    exact: a target's score is read from the very row that it is compared with.
    """
    ranks = np.empty(len(target_row), np.int64)
    order = np.argsort(target_row, kind="stable")
    rows, firsts = np.unique(target_row[order], return_index=True)
    for row, of_row in zip(rows, np.split(order, firsts[1:]), strict=True):
        columns = target_column[of_row]
        ranks[of_row] = _not_below(scores[row, :num_index], scores[row, columns])
        ranks[of_row] -= columns < num_index
    return ranks


def _not_below(row: np.ndarray, own: np.ndarray) -> np.ndarray:
    """How many values of row [I] are not smaller than each of own [T]; NaN is never smaller."""
    if len(own) <= SORT_FROM_TARGETS:
        return np.array([len(row) - np.count_nonzero(row < value) for value in own], np.int64)
    below = np.searchsorted(np.sort(row), own, side="left")  # NumPy sorts NaN to the end
    return len(row) - np.where(np.isnan(own), 0, below)


def ranks_without(
    ranks: np.ndarray, own: np.ndarray, excluded_scores: np.ndarray, *, owner: np.ndarray
) -> np.ndarray:
    """Ranks when one user's excluded index items leave the index.

    ranks [T] and own [T] (the targets' scores) of one query; excluded_scores [E] are the scores
    of the items that leave; owner [T, E] is true where the excluded item is the target itself
    (never counted, so never taken off). Returns int64 [T].
    """
    counted = ~(excluded_scores[None, :] < own[:, None]) & ~owner
    return ranks - counted.sum(axis=1)


def mean_by_user(values: np.ndarray, user_row: np.ndarray, num_users: int) -> np.ndarray:
    """Mean of values [T] for each user, float64 [U]; NaN for a user without any."""
    count = np.bincount(user_row, minlength=num_users)
    total = np.bincount(user_row, weights=values.astype(np.float64), minlength=num_users)
    return np.divide(total, count, out=np.full(num_users, np.nan), where=count > 0)


def recall_by_user(
    ranks: np.ndarray, user_row: np.ndarray, num_users: int, depth: int
) -> np.ndarray:
    """Recall@depth of each user: the share of positives with fewer than ``depth`` before them."""
    return mean_by_user(ranks < depth, user_row, num_users)


def percentile_by_user(
    ranks: np.ndarray, user_row: np.ndarray, num_users: int, num_rivals: np.ndarray | int
) -> np.ndarray:
    """Mean share of rivals that stand before each user's positives: 0 is best, 1 is worst."""
    return mean_by_user(ranks / np.maximum(num_rivals, 1), user_row, num_users)


def top_columns(scores: np.ndarray, depth: int) -> np.ndarray:
    """The ``depth`` best columns of scores [B, I], best first, int64 [B, min(depth, I)].

    Equal scores are ordered by column, so that the answer does not depend on the partition.
    """
    scores = np.nan_to_num(scores, copy=True, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    depth = min(depth, scores.shape[1])
    best, chosen = (part.numpy() for part in torch.topk(torch.from_numpy(scores), depth, dim=1))
    edge = best[:, -1:]  # where more stand level with it than fit, the first columns go in
    for row in np.flatnonzero(np.count_nonzero(scores >= edge, axis=1) > depth):
        above = np.flatnonzero(scores[row] > edge[row])
        level = np.flatnonzero(scores[row] == edge[row])[: depth - len(above)]
        chosen[row] = np.concatenate([above, level])
    chosen.sort(axis=1)
    order = np.argsort(-np.take_along_axis(scores, chosen, axis=1), axis=1, kind="stable")
    return np.take_along_axis(chosen, order, axis=1)


def coverage(counts: np.ndarray, share: float = 0.9, size: int | None = None) -> float:
    """P90 coverage: the smallest fraction of the index that makes up 90 % of all top lists.

    counts [I]: how many top lists hold each index item; items that none holds may be left out where
    ``size`` gives the index's. Returns a value in [0, 1].
    """
    total = counts.sum()
    if total == 0:
        return 0.0
    filled = np.cumsum(np.sort(counts)[::-1])
    return float((np.searchsorted(filled, share * total, side="left") + 1) / (size or len(counts)))


def interest_entropy(topics: np.ndarray) -> np.ndarray:
    """Entropy in nats of the topics in each top list: topics int [B, K] -> float64 [B]."""
    width = topics.shape[1]
    ordered = np.sort(topics, axis=1)
    # A value's share p adds -p ln p once per value; each of its n = p K places adds -ln(p) / K.
    place = np.arange(width)
    starts = np.concatenate(
        [np.ones((len(topics), 1), bool), ordered[:, 1:] != ordered[:, :-1]], axis=1
    )
    first = np.maximum.accumulate(np.where(starts, place, 0), axis=1)
    ends = np.concatenate([starts[:, 1:], np.ones((len(topics), 1), bool)], axis=1)
    last = np.minimum.accumulate(np.where(ends, place, width)[:, ::-1], axis=1)[:, ::-1]
    return -np.log((last - first + 1) / width).mean(axis=1)
