"""P90 coverage of all users' top lists, with its user-bootstrap interval.

Shapes: Q queries, K places of a top list, U users, I index items.
"""

import numpy as np
from scipy import sparse

from homefeed.evaluation.bootstrap import CHUNK_DRAWS, Estimate, draws_of_users
from homefeed.evaluation.metrics import coverage


def coverage_of_lists(
    top: np.ndarray,
    row: np.ndarray,
    num_users: int,
    num_index: int,
    *,
    samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """The smallest fraction of the index that makes up 90 % of all top lists.

    top int [Q, K]: columns of the index, row int [Q]: each query's user in [0, U). Every list
    counts alike; users are drawn, with all their lists. A draw repeats lists, so it covers less
    than as many new users would: the interval is the draws' spread around their own mean, laid
    around the estimate.
    """
    lists = _lists_by_user(top, row, num_users)
    mean = coverage(np.asarray(lists.sum(axis=0)).ravel(), size=num_index)
    # A draw is as wide as the items that any list holds, or as the users.
    at_once = max(CHUNK_DRAWS // max(1, lists.shape[1]), 1) * max(num_users, 1)
    drawn = [
        coverage(counts, size=num_index)
        for times in draws_of_users(num_users, samples, seed, min(CHUNK_DRAWS, at_once))
        for counts in (lists.T @ times.T).T
    ]
    if not drawn:
        return Estimate(mean=mean, low=np.nan, high=np.nan, users=0)
    tail = (1 - level) / 2
    below, above = np.quantile(drawn, [tail, 1 - tail]) - np.mean(drawn)
    # Where nearly all draws agree, their mean lies beside both quantiles.
    low, high = np.clip((mean + min(below, 0.0), mean + max(above, 0.0)), 0.0, 1.0)
    return Estimate(mean=mean, low=float(low), high=float(high), users=num_users)


def _lists_by_user(top: np.ndarray, row: np.ndarray, num_users: int) -> sparse.csr_matrix:
    """How often each user's lists hold each item that any list holds, float64 [U, items]."""
    items, column = np.unique(top, return_inverse=True)
    user = np.repeat(row, top.shape[1])
    ones = np.ones(top.size)
    return sparse.csr_matrix((ones, (user, column.ravel())), shape=(num_users, len(items)))
