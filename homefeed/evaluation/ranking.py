"""Judges rankers on the requests after their training window, beside the popularity ranker.

Every impression is scored with the features of its own moment. Lists are requests; where requests
hold too few impressions to be ranked (KuaiRand: one to three), each user's impressions of the
evaluation window form one list, and what is compared is a re-ranking of recorded impressions.

Such a list is ordered by relevance, without the user's level at each moment. Within a request the
level is one constant and moves no order. Across a user's moments it follows the labels of that
user's earlier impressions, which are in the list themselves: whoever took one has one less left
to take, so the best forecast of a level orders the list worse than chance
(tests/unit/ranking/test_ranking_metrics.py shows it). HIT@3 with the level is reported beside it.

Scores are float32 [n, 2, H]: the level's logits and the relevance's. Their sum is the logit of
the probability that AUC and calibration judge.

Shapes: n rows of the evaluation window, H heads.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from homefeed.container import cores
from homefeed.data.item_stats import popularity_column
from homefeed.data.training_set import TrainingSet
from homefeed.evaluation.bootstrap import Estimate, bootstrap_mean, paired_difference
from homefeed.evaluation.ranking_metrics import (
    TOP,
    UserValues,
    area_under_curve,
    calibration,
    hits_at_3,
)
from homefeed.models.ranker import Ranker
from homefeed.progress import Progress
from homefeed.training.ranker_batches import RankerData

POPULARITY = "popularity"
BATCH_ROWS = 128  # a third less CPU than 1024: what a batch makes stays in cache
MOST_THREADS = 4  # a batch in work takes up to 50 MB


@dataclass(frozen=True, kw_only=True)
class HeadFigures:
    """One ranker, one head."""

    hit: Estimate  # HIT@3, user-bootstrap interval
    hit_with_level: Estimate  # the same where lists are ordered by the whole logit
    auc: float
    ece: float  # expected calibration error; NaN for scores that are no probabilities
    ratio: float  # mean predicted / mean observed
    users: UserValues  # HIT@3 per user, for paired comparisons


@dataclass(frozen=True, kw_only=True)
class RankingReport:
    """All rankers on the same rows: ``figures[ranker][head]``."""

    lists: str  # "request" or "user"
    rows: int
    figures: Mapping[str, Mapping[str, HeadFigures]]

    def difference(self, ours: str, theirs: str, head: str) -> Estimate:
        """HIT@3 of ``ours`` minus ``theirs`` over the same users, paired user bootstrap."""
        a, b = self.figures[ours][head].users, self.figures[theirs][head].users
        return paired_difference(a.value, b.value)

    def values(self) -> dict[str, dict[str, dict[str, float]]]:
        """Plain numbers for JSON: ranker → head → figure."""
        return {
            ranker: {head: _plain(figures) for head, figures in heads.items()}
            for ranker, heads in self.figures.items()
        }


def compare_scores(
    scores: Mapping[str, np.ndarray],
    training_set: TrainingSet,
    requests: np.ndarray,
    *,
    lists: str = "auto",
) -> RankingReport:
    """Figures of ``predict``'s scores [n, 2, H] of the rows of ``requests``, and popularity's.

    ``lists``: "request", "user", or "auto" (as ``list_kind`` finds).
    """
    rows = training_set.rows_of(requests)
    labels, heads = np.asarray(training_set.labels[rows]), training_set.meta.heads
    by = lists if lists != "auto" else list_kind(training_set, requests)
    request = np.asarray(training_set.request[rows])
    user = people(training_set, request)
    group = request if by == "request" else user
    scores = dict(scores) | {POPULARITY: popularity_scores(training_set, rows)}
    figures = {
        name: {
            head: _head_figures(score[:, :, h], labels[:, h], group, user, by, name)
            for h, head in enumerate(heads)
        }
        for name, score in scores.items()
    }
    return RankingReport(lists=by, rows=len(rows), figures=figures)


def people(training_set: TrainingSet, request: np.ndarray) -> np.ndarray:
    """Whose list a row is, int64 [n], of each row's ``request``: user indices.

    Users without an index are many people: each of their requests counts as one, below 0.
    """
    user = np.asarray(training_set.user)[request].astype(np.int64)
    return np.where(user > 0, user, -1 - request)


def list_kind(training_set: TrainingSet, requests: np.ndarray) -> str:
    """What forms a list: "request" where most requests hold more than 3 candidates, else "user"."""
    size = training_set.begin[requests + 1] - training_set.begin[requests]
    return "request" if np.median(size) > TOP else "user"


def popularity_scores(training_set: TrainingSet, rows: np.ndarray) -> np.ndarray:
    """The popularity ranker, [n, 2, H]: each item's day-lagged rate (or count) per head."""
    meta = training_set.meta
    columns = [
        popularity_column(meta.heads, head, has_impressions=meta.has_impressions)
        for head in meta.heads
    ]
    rates = np.asarray(training_set.stats[rows])[:, columns]
    return np.stack([np.zeros_like(rates), rates], axis=1)


def predict(
    ranker: Ranker, data: RankerData, requests: np.ndarray, *, show: bool = False
) -> np.ndarray:
    """Scores float32 [n, 2, H] of the rows of ``requests``: logits of level and of relevance.

    Batches are scored side by side; each has its own place in the result.
    """
    ranker.eval()
    size = data.set.begin[requests + 1] - data.set.begin[requests]
    begin = np.cumsum(size) - size
    result = np.zeros((int(size.sum()), 2, len(data.set.meta.heads)), np.float32)
    # By length of history, so that a batch is padded little.
    order = np.argsort(data.lengths(requests), kind="stable")
    batch = (np.cumsum(size[order]) - size[order]) // BATCH_ROWS
    parts = np.split(order, np.flatnonzero(np.diff(batch)) + 1)
    kind = ranker.config.user_vector

    def score(part: np.ndarray) -> int:
        with torch.inference_mode():
            found = torch.stack(ranker.parts(data.batch(requests[part]).by_vector[kind]), dim=1)
        place = np.concatenate([np.arange(begin[r], begin[r] + size[r]) for r in part])
        result[place] = found.numpy()
        return len(place)

    progress = Progress(f"scores of {ranker.config.name}", len(result)) if show else None
    with ThreadPoolExecutor(min(cores(), MOST_THREADS)) as threads:
        for rows in threads.map(score, parts):
            if progress:
                progress.advance(rows)
    if progress:
        progress.close()
    return result


def probabilities(score: np.ndarray) -> np.ndarray:
    """Scores [n, 2, ...] → probabilities [n, ...]."""
    return 1 / (1 + np.exp(-score.sum(axis=1, dtype=np.float64)))


def _head_figures(
    score: np.ndarray, label: np.ndarray, group: np.ndarray, user: np.ndarray, by: str, name: str
) -> HeadFigures:
    whole, relevance = score.sum(axis=1), score[:, 1]
    users = hits_at_3(whole if by == "request" else relevance, label, group, user)
    error, ratio = float("nan"), float("nan")
    if name != POPULARITY:
        error, ratio = calibration(probabilities(score), label)
    return HeadFigures(
        hit=bootstrap_mean(users.value),
        hit_with_level=bootstrap_mean(hits_at_3(whole, label, group, user).value),
        auc=area_under_curve(whole, label),
        ece=error,
        ratio=ratio,
        users=users,
    )


def _plain(figures: HeadFigures) -> dict[str, float]:
    hit = figures.hit
    return {
        "hit_at_3": hit.mean,
        "hit_at_3_low": hit.low,
        "hit_at_3_high": hit.high,
        "users": hit.users,
        "hit_at_3_with_level": figures.hit_with_level.mean,
        "auc": figures.auc,
        "ece": figures.ece,
        "calibration_ratio": figures.ratio,
    }
