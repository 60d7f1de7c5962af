"""What a paired re-ranking of recorded lists compares: each arm's order, on the recorded labels.

An arm puts a list in one order, as it would serve it: by the sum of what its heads expect, dislikes
against. In lists across moments the user's level is no part of an order (see
``homefeed.models.ranker``), so each head's is taken as its mean.

Shapes: n rows, H heads.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from homefeed.abtest.definition import Arm, Definition, Metric
from homefeed.abtest.recipe import AbTestRecipe
from homefeed.data.contract import Dataset
from homefeed.data.ranking_rows import EVALUATION
from homefeed.data.training_set import TrainingSet
from homefeed.evaluation.ranking import compare_scores, list_kind, people
from homefeed.evaluation.ranking_metrics import hits_at_3
from homefeed.steps.ranking import SCORES, judged_heads
from homefeed.steps.releases import ARMS

GUARDED = 2  # heads beside the primary one


def recorded_values(
    dataset: Dataset,
    training_set: Path,
    evaluations: Path,
    begun: dict[str, Any],
    recipe: AbTestRecipe,
) -> tuple[Definition, dict[str, dict[str, np.ndarray]], str]:
    """HIT@3 per user of each arm's order on each head's labels: a paired re-ranking's metrics.

    Of a dislike fewer are better, and ties count against the arm there too.
    """
    opened = TrainingSet.open(training_set)
    requests = opened.requests_of(EVALUATION)
    with np.load(evaluations / SCORES) as arrays:
        scores = {arm.name: arrays[arm.ranker] for arm in ARMS}
    heads, negative = opened.meta.heads, set(dataset.spec.negative)
    lists = list_kind(opened, requests)
    primary, *others = judged_heads(dataset, compare_scores(scores, opened, requests))
    rows = opened.rows_of(requests)
    request = np.asarray(opened.request[rows])
    user = people(opened, request)
    group = request if lists == "request" else user
    labels = np.asarray(opened.labels[rows])
    orders = {name: served_order(score, heads, negative, lists) for name, score in scores.items()}
    definition = Definition(
        name=begun["test"],
        arms={arm["arm"]: Arm(release=arm["release"]) for arm in begun["arms"]},
        primary=_metric(primary, negative),
        guardrails=tuple(_metric(head, negative) for head in others[:GUARDED]),
        min_effect=recipe.min_effect,
        confidence=recipe.confidence,
    )
    values = {
        _metric(head, negative).name: {
            name: hits_at_3(
                order, labels[:, heads.index(head)], group, user, wanted=head not in negative
            ).value
            for name, order in orders.items()
        }
        for head in (primary, *others[:GUARDED])
    }
    return definition, values, lists


def served_order(
    score: np.ndarray, heads: tuple[str, ...], negative: Collection[str], lists: str
) -> np.ndarray:
    """What a list is ordered by, float64 [n], of scores [n, 2, H]: levels and relevance."""
    level, relevance = score[:, 0].astype(np.float64), score[:, 1].astype(np.float64)
    if lists == "user":
        level = level.mean(axis=0, keepdims=True)
    weight = np.array([-1.0 if head in negative else 1.0 for head in heads])
    return 1 / (1 + np.exp(-(level + relevance))) @ weight


def _metric(head: str, negative: Collection[str]) -> Metric:
    return Metric(name=f"hit@3 {head}", direction="down" if head in negative else "up")
