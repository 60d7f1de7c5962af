"""HIT@3, AUC and calibration against their definitions, written out slowly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homefeed.evaluation.ranking_metrics import area_under_curve, calibration, hits_at_3


def slow_hits(score, label, group, user):
    """Per user the mean over counting lists of the positives among the top 3, worst ties first."""
    of_user: dict[int, list[int]] = {}
    for each in set(group):
        rows = [i for i in range(len(group)) if group[i] == each]
        labels = [label[i] for i in rows]
        if len(rows) <= 3 or len(set(labels)) < 2:
            continue
        rows.sort(key=lambda i: (-score[i], label[i]))
        of_user.setdefault(user[rows[0]], []).append(sum(label[i] for i in rows[:3]))
    return {u: sum(hits) / len(hits) for u, hits in of_user.items()}


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 5)), min_size=1, max_size=40
    )
)
def test_hits_equal_the_definition(rows):
    score = np.array([r[0] for r in rows], float)  # five values: many ties
    label = np.array([int(r[1]) for r in rows])
    group = np.array([r[2] for r in rows])
    user = group % 3  # a user has two lists
    found = hits_at_3(score, label, group, user)
    assert dict(zip(found.user.tolist(), found.value.tolist(), strict=True)) == pytest.approx(
        slow_hits(score, label, group, user)
    )


def test_a_perfect_and_a_blind_ranker_by_hand():
    label = np.array([1, 0, 1, 0, 0])
    one = np.zeros(5, int)
    assert hits_at_3(label.astype(float), label, one, one).value.tolist() == [2.0]
    assert hits_at_3(np.zeros(5), label, one, one).value.tolist() == [0.0]  # ties go against it


def test_lists_of_three_or_of_one_label_do_not_count():
    label = np.array([1, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0])
    group = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2])
    found = hits_at_3(np.arange(11.0), label, group, group)
    assert found.user.tolist() == []


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_the_area_is_the_share_of_pairs_in_order(rows):
    positive = [score for score, label in rows if label]
    negative = [score for score, label in rows if not label]
    found = area_under_curve(np.array([r[0] for r in rows]), np.array([r[1] for r in rows]))
    if not positive or not negative:
        assert np.isnan(found)
        return
    pairs = [(p > n) + 0.5 * (p == n) for p in positive for n in negative]
    assert found == pytest.approx(sum(pairs) / len(pairs))


def test_calibration_of_a_true_and_of_a_doubled_probability():
    generator = np.random.default_rng(0)
    probability = generator.random(200_000) * 0.5
    label = generator.random(200_000) < probability
    error, ratio = calibration(probability, label)
    assert error < 0.01
    assert ratio == pytest.approx(1, abs=0.02)
    error, ratio = calibration(probability * 2, label)
    assert error == pytest.approx(0.25, abs=0.01)
    assert ratio == pytest.approx(2, abs=0.04)


def test_the_best_forecast_of_a_users_level_loses_to_chance_across_moments():
    """Why lists across moments are not ordered by the user's level.

    Users act at a constant rate of their own; the posterior mean of that rate given what came
    before is the best forecast there is. In a list of one user it only says how many of the list
    were taken already, so it puts the rest in the wrong order.
    """
    generator = np.random.default_rng(0)
    rate = generator.beta(1.5, 2, (2000, 1))
    label = generator.random((2000, 7)) < rate
    before = np.cumsum(label, axis=1) - label
    forecast = (1.5 + before) / (3.5 + np.arange(7))
    user = np.repeat(np.arange(2000), 7)
    chance = generator.random(14_000)
    assert area_under_curve(forecast.ravel(), label.ravel()) > 0.65
    by_forecast = hits_at_3(forecast.ravel(), label.ravel(), user, user).value.mean()
    by_chance = hits_at_3(chance, label.ravel(), user, user).value.mean()
    assert by_forecast < by_chance - 0.4


def test_errors_of_opposite_sign_do_not_cancel():
    probability = np.repeat([0.1, 0.9], 500)
    error, ratio = calibration(probability, np.tile([0, 1], 500))
    assert error == pytest.approx(0.4)
    assert ratio == pytest.approx(1)
