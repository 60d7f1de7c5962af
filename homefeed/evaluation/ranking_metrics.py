"""Metrics of one head of a ranker: HIT@3 over lists, AUC, calibration.

Shapes: n rows (scored candidates), G lists, U users that have a list that counts.
"""

from dataclasses import dataclass

import numpy as np

TOP = 3
BINS = 10


@dataclass(frozen=True)
class UserValues:
    """One value per user, so that two rankers can be compared user by user."""

    user: np.ndarray  # int64 [U] ascending
    value: np.ndarray  # float64 [U]


def hits_at_3(
    score: np.ndarray,
    label: np.ndarray,
    group: np.ndarray,
    user: np.ndarray,
    *,
    wanted: bool = True,
) -> UserValues:
    """HIT@3 (TransAct): how many of the three best-scored rows of a list have the label.

    score float [n], label 0/1 [n], group int [n] (the row's list), user int [n]. A list counts
    if it has more than 3 rows and both labels among them: any other list scores the same however
    it is ordered. Ties go against the ranker: among equal scores, rows with label 0 come first, or
    those with label 1 where the label is not ``wanted`` at the top (a dislike).
    A user's value is the mean count over the user's lists; the figure is the mean over users.
    """
    _, group = np.unique(group, return_inverse=True)
    label = np.asarray(label).astype(np.int64)
    size, positives = np.bincount(group), np.bincount(group, weights=label)
    counts = (size > TOP) & (positives > 0) & (positives < size)
    ties = label if wanted else -label
    order = np.lexsort((ties, -np.asarray(score, np.float64), group))
    begin = np.cumsum(size) - size
    place = np.arange(len(order)) - begin[group[order]]
    top = order[place < TOP]
    hits = np.bincount(group[top], weights=label[top], minlength=len(size))
    owner = np.zeros(len(size), np.int64)
    owner[group] = user
    users, row = np.unique(owner[counts], return_inverse=True)
    lists = np.bincount(row, minlength=len(users))
    return UserValues(users, np.bincount(row, weights=hits[counts], minlength=len(users)) / lists)


def area_under_curve(score: np.ndarray, label: np.ndarray) -> float:
    """Probability that a positive row outscores a negative one, ties counting half; NaN if none."""
    label = np.asarray(label).astype(bool)
    positives, negatives = int(label.sum()), int((~label).sum())
    if not positives or not negatives:
        return float("nan")
    _, value, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2  # mean rank of each distinct score, from 1
    total = rank[value][label].sum()
    return float((total - positives * (positives + 1) / 2) / (positives * negatives))


def calibration(probability: np.ndarray, label: np.ndarray) -> tuple[float, float]:
    """Expected calibration error over ten bins of equal mass, and predicted / observed rate.

    The ratio is NaN where nothing was observed.
    """
    order = np.argsort(probability, kind="stable")
    gap = sum(
        abs(float(np.sum(probability[part]) - np.sum(label[part])))
        for part in np.array_split(order, BINS)
    )
    observed = float(np.sum(label))
    ratio = float(np.sum(probability)) / observed if observed else float("nan")
    return gap / max(len(order), 1), ratio
