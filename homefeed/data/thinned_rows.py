"""A bounded share of a log's impressions: what a fit can use, drawn without a bias.

Training rows: whole requests are drawn, and of those the rows without any label are thinned; one
that stays stands for those that do not, by its weight. So the expected loss is that of the whole
window, and probabilities stay calibrated. Evaluation rows: whole users are drawn, so that their
lists stay whole.

Shapes: R requests, n rows.
"""

from dataclasses import dataclass

import numpy as np

from homefeed.data.ranking_rows import EVALUATION, TRAIN, RankingRows

OF_REQUESTS = ("user", "viewer", "time_ms", "surface", "split")
POSITIVE_SHARE = 0.4  # of the training rows, where negatives must be thinned to get there


@dataclass(frozen=True, kw_only=True)
class Thinning:
    """Shares that stay, each 1 where nothing is dropped."""

    requests: float = 1.0  # of the training window
    negatives: float = 1.0  # of those requests' rows without any label
    users: float = 1.0  # of the evaluation window


def thinning(
    rows: RankingRows,
    *,
    max_training_rows: int | None,
    max_evaluation_rows: int | None,
    keep_negatives: float = 1.0,
) -> Thinning:
    """The shares with which about so many rows stay; None: no bound.

    Positives are what a ranker learns most from, so negatives go first, until positives are
    ``POSITIVE_SHARE`` of what stays; then whole requests.
    """
    split = rows.split[rows.request]
    positives = int((rows.labels.any(1) & (split == TRAIN)).sum())
    training, evaluation = int((split == TRAIN).sum()), int((split == EVALUATION).sum())
    negatives = max(training - positives, 1)
    requests = 1.0
    if max_training_rows is not None and training > max_training_rows:
        by_positives = POSITIVE_SHARE * max_training_rows / max(positives, 1)
        requests = min(1.0, max(max_training_rows / training, by_positives))
        left = max_training_rows / requests - positives
        keep_negatives = float(np.clip(left / negatives, 0.01, keep_negatives))
    users = 1.0
    if max_evaluation_rows is not None and evaluation > max_evaluation_rows:
        users = max_evaluation_rows / evaluation
    return Thinning(requests=requests, negatives=keep_negatives, users=users)


def thinned(rows: RankingRows, shares: Thinning, seed: int) -> RankingRows:
    """The rows that stay, drawn by ``seed``; requests without rows are gone."""
    if shares == Thinning():
        return rows
    generator = np.random.default_rng(seed)
    in_training = rows.split == TRAIN
    chosen_user = generator.random(int(rows.user.max(initial=0)) + 1) < shares.users
    draw = generator.random(len(rows.user))
    # Users without an index are many people: each of their requests is drawn by itself.
    judged = np.where(rows.user > 0, chosen_user[rows.user], draw < shares.users)
    if not (judged & ~in_training).any():  # a few users with many rows each: one of them stays
        judged |= rows.user == rows.user[np.where(in_training, np.inf, draw).argmin()]
    kept_request = np.where(in_training, draw < shares.requests, judged)
    negative = ~rows.labels.any(1) & in_training[rows.request]
    drawn = generator.random(len(rows.request)) < shares.negatives
    kept = kept_request[rows.request] & (~negative | drawn)
    weight = np.where(negative, 1 / shares.negatives, 1.0) * rows.weight
    held = np.bincount(rows.request[kept], minlength=len(rows.user)) > 0
    number = np.cumsum(held) - 1
    return RankingRows(
        **{name: getattr(rows, name)[held] for name in OF_REQUESTS},
        **{name: getattr(rows, name)[kept] for name in ("item", "position", "labels")},
        request=number[rows.request[kept]].astype(np.int32),
        weight=weight[kept].astype(np.float32),
        heads=rows.heads,
    )
