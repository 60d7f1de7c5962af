"""A paired re-ranking compares one order per arm: as it would serve, dislikes against."""

import numpy as np
import pytest

from homefeed.evaluation.ranking_metrics import hits_at_3
from homefeed.steps.recorded_arms import served_order

HEADS = ("like", "hide")


@pytest.fixture
def score() -> np.ndarray:
    """Levels and relevance [n, 2, H] of twelve rows."""
    return np.random.default_rng(0).normal(size=(12, 2, 2)).astype(np.float32)


def test_an_order_is_the_sum_of_chances_with_dislikes_against(score: np.ndarray) -> None:
    chance = 1 / (1 + np.exp(-score.astype(float).sum(axis=1)))
    found = served_order(score, HEADS, {"hide"}, "request")
    np.testing.assert_allclose(found, chance[:, 0] - chance[:, 1])
    np.testing.assert_allclose(served_order(score, HEADS, (), "request"), chance.sum(axis=1))


def test_in_lists_across_moments_the_level_of_a_moment_moves_no_order(score: np.ndarray) -> None:
    other = score.copy()
    other[:, 0] = other[::-1, 0]  # the same levels, of other moments
    np.testing.assert_allclose(
        served_order(other, HEADS, {"hide"}, "user"), served_order(score, HEADS, {"hide"}, "user")
    )
    assert not np.allclose(
        served_order(other, HEADS, {"hide"}, "request"),
        served_order(score, HEADS, {"hide"}, "request"),
    )


def test_an_arm_that_knows_better_what_is_disliked_shows_less_of_it() -> None:
    rng = np.random.default_rng(1)
    lists, size = 300, 8
    group = np.repeat(np.arange(lists), size)
    hide = (rng.random(lists * size) < 0.2).astype(np.uint8)
    knows = np.zeros((len(hide), 2, 2), np.float32)
    knows[:, 1, 1] = 4.0 * hide - 3
    guesses = np.zeros_like(knows)
    guesses[:, 1, 1] = rng.normal(size=len(hide))
    shown = [
        hits_at_3(served_order(s, HEADS, {"hide"}, "request"), hide, group, group, wanted=False)
        for s in (knows, guesses)
    ]
    assert shown[0].value.mean() < 0.1 < shown[1].value.mean()


def test_an_arm_that_orders_nothing_is_not_better_at_hiding_what_is_disliked() -> None:
    group, label = np.repeat(np.arange(50), 6), np.tile([1, 1, 0, 0, 0, 0], 50)
    even = np.zeros(len(label))
    assert hits_at_3(even, label, group, group, wanted=False).value.mean() == 2
    assert hits_at_3(even, label, group, group).value.mean() == 0
