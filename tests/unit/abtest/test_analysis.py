"""Intervals against statsmodels, SciPy, hand-computed values and simulated tests."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from homefeed.abtest.analysis import (
    SRM_ALPHA,
    ArmEstimate,
    analyze,
    compare,
    compare_arms,
    estimate,
    sample_ratio,
)
from homefeed.abtest.assignment import arm_positions
from homefeed.abtest.definition import Arm, Definition, Metric
from homefeed.abtest.exposure import Outcomes

CLICKS = Metric(name="clicks", actions=("click",))
RATE = Metric(name="rate", actions=("click",), per="request")
NAMES = {"metric": "clicks", "arm": "new", "control": "control"}
COUNTS = st.lists(st.integers(0, 50), min_size=3, max_size=30)


def two_arms() -> Definition:
    arms = {"control": Arm(release=1), "new": Arm(release=2)}
    return Definition(name="t", arms=arms, primary=CLICKS, guardrails=(RATE,))


def outcomes_of(definition: Definition, arm, clicks, requests) -> Outcomes:
    return Outcomes(
        arms=tuple(definition.arms),
        user=np.array([f"i:{n}" for n in range(len(arm))]),
        arm=np.asarray(arm),
        requests=np.asarray(requests, float),
        counts={metric.name: np.asarray(clicks, float) for metric in definition.metrics},
        crossed_users=0,
        misassigned_users=0,
        wrong_release_requests=0,
    )


@given(COUNTS, COUNTS)
def test_the_difference_per_user_is_welchs_interval_as_statsmodels_has_it(ours, theirs):
    ours, theirs = np.array(ours, float), np.array(theirs, float)
    assume(ours.var() + theirs.var() > 0)
    found = compare(
        estimate(ours, np.ones(len(ours))), estimate(theirs, np.ones(len(theirs))), **NAMES
    )
    reference = CompareMeans(DescrStatsW(ours), DescrStatsW(theirs))
    low, high = reference.tconfint_diff(alpha=0.05, usevar="unequal")
    assert found.difference == pytest.approx(ours.mean() - theirs.mean())
    assert found.difference_low == pytest.approx(low)
    assert found.difference_high == pytest.approx(high)


@given(COUNTS, COUNTS, st.sampled_from([-0.3, 0.0, 0.05, 2.0]))
def test_what_is_beyond_a_tolerance_is_the_difference_from_a_control_that_much_larger(
    ours, theirs, tolerated
):
    ours, theirs = np.array(ours, float), np.array(theirs, float)
    treated, ones = estimate(ours, np.ones(len(ours))), np.ones(len(theirs))
    found = compare(treated, estimate(theirs, ones), **NAMES, tolerated=tolerated)
    reference = compare(treated, estimate((1 + tolerated) * theirs, ones), **NAMES)
    assert found.beyond_low == pytest.approx(reference.difference_low)
    assert found.beyond_high == pytest.approx(reference.difference_high)


def test_the_variance_of_a_ratio_is_the_textbook_delta_formula():
    random = np.random.default_rng(0)
    x = random.poisson(5, 400) + 1.0
    y = random.binomial(x.astype(int), 0.3).astype(float)
    found = estimate(y, x)
    covariance = np.cov(y, x)
    ratio = y.mean() / x.mean()
    expected = (covariance[0, 0] - 2 * ratio * covariance[0, 1] + ratio**2 * covariance[1, 1]) / (
        len(x) * x.mean() ** 2
    )
    assert found.value == pytest.approx(ratio)
    assert found.variance == pytest.approx(expected)


def test_the_variance_of_a_ratio_agrees_with_a_bootstrap_over_users():
    random = np.random.default_rng(1)
    taste = random.beta(2, 5, 500)  # requests of one user are alike: users are the clusters
    x = random.poisson(8, 500) + 1.0
    y = random.binomial(x.astype(int), taste).astype(float)
    draws = random.integers(0, 500, (4000, 500))
    drawn = y[draws].sum(axis=1) / x[draws].sum(axis=1)
    found = estimate(y, x)
    assert math.sqrt(found.variance) == pytest.approx(drawn.std(), rel=0.08)
    naive = found.value * (1 - found.value) / x.sum()  # as if requests were independent
    assert found.variance > 2 * naive


def test_the_interval_of_the_lift_covers_the_truth_as_often_as_it_says():
    random = np.random.default_rng(2)
    covered = 0
    for _ in range(600):
        base = random.gamma(0.8, 2.0, 400)
        ours = random.gamma(0.8, 2.0 * 1.1, 300)
        found = compare(estimate(ours, np.ones(300)), estimate(base, np.ones(400)), **NAMES)
        covered += found.low <= 0.1 <= found.high
    assert stats.binomtest(covered, 600, 0.95).pvalue > 0.001


@pytest.mark.parametrize("metric", [CLICKS, RATE])
def test_redrawn_assignments_of_one_log_are_significant_as_often_as_chance_says(metric):
    random = np.random.default_rng(3)
    users = [f"i:{n}" for n in range(800)]
    requests = random.poisson(6, 800) + 1
    clicks = random.binomial(requests, random.beta(1, 4, 800))
    definition = two_arms()
    significant = 0
    for draw in range(400):
        arm = arm_positions(replace(definition, salt=f"draw {draw}"), users)
        log = outcomes_of(definition, arm, clicks, requests)
        significant += compare_arms(log, metric, "new", "control").significant
    low, high = stats.binom.interval(0.999, 400, 0.05)
    assert low <= significant <= high


def test_a_planted_lift_is_found_and_its_sign_is_right():
    random = np.random.default_rng(4)
    arm = random.integers(0, 2, 20_000)
    requests = np.full(20_000, 5)
    clicks = random.binomial(requests, np.where(arm == 1, 0.33, 0.30))
    found = analyze(two_arms(), outcomes_of(two_arms(), arm, clicks, requests)).primary[0]
    assert found.low > 0
    assert found.low < 0.1 < found.high
    swapped = analyze(two_arms(), outcomes_of(two_arms(), 1 - arm, clicks, requests)).primary[0]
    assert swapped.high < 0


def test_the_p_value_agrees_with_the_interval():
    random = np.random.default_rng(5)
    for _ in range(50):
        parts = [estimate(random.poisson(3, 60).astype(float), np.ones(60)) for _ in range(2)]
        found = compare(*parts, **NAMES)
        assert found.significant == (found.p_value < 0.05)


def test_several_arms_share_the_error_rate_unless_the_correction_is_none():
    arms = {"control": Arm(release=1), "a": Arm(release=2), "b": Arm(release=3)}
    shared = Definition(name="t", arms=arms, primary=CLICKS, guardrails=(RATE,))
    log = outcomes_of(shared, np.arange(300) % 3, np.arange(300) % 7, np.ones(300))
    assert [c.confidence for c in analyze(shared, log).primary] == [0.975, 0.975]
    assert {c.confidence for c in analyze(shared, log).guardrails} == {0.95}
    alone = replace(shared, correction="none")
    assert [c.confidence for c in analyze(alone, log).primary] == [0.95, 0.95]


@pytest.mark.parametrize(("split", "mismatch"), [((5000, 5000), False), ((5300, 4700), True)])
def test_a_sample_ratio_mismatch_is_the_chi_square_test(split, mismatch):
    arm = np.repeat([0, 1], split)
    found = sample_ratio(two_arms(), outcomes_of(two_arms(), arm, arm, np.ones(len(arm))))
    assert found.p_value == pytest.approx(stats.chisquare(split).pvalue)
    assert found.mismatch is mismatch
    assert mismatch == (found.p_value < SRM_ALPHA)


def test_the_expected_ratio_follows_the_weights():
    arms = {"control": Arm(release=1, weight=3), "new": Arm(release=2, weight=1)}
    definition = Definition(name="t", arms=arms, primary=CLICKS)
    arm = np.repeat([0, 1], (750, 250))
    found = sample_ratio(definition, outcomes_of(definition, arm, arm, np.ones(1000)))
    assert found.expected == {"control": 750, "new": 250}
    assert found.p_value == pytest.approx(1.0)


def test_an_arm_without_users_or_a_control_without_clicks_has_no_lift():
    definition = two_arms()
    alone = outcomes_of(definition, np.zeros(10, int), np.arange(10), np.ones(10))
    assert math.isnan(compare_arms(alone, CLICKS, "new", "control").lift)
    silent = outcomes_of(definition, np.arange(10) % 2, np.arange(10) % 2, np.ones(10))
    found = compare_arms(silent, CLICKS, "new", "control")
    assert math.isnan(found.lift)
    assert not found.significant
    assert found.difference == 1.0


def test_a_control_without_any_event_still_has_an_interval_of_the_difference():
    new = np.repeat([0, 1], 500)
    clicks = new * (np.arange(1000) % 5 == 0)
    found = compare_arms(
        outcomes_of(two_arms(), new, clicks, np.ones(1000)), CLICKS, "new", "control"
    )
    reach = stats.t.ppf(0.975, 499) * math.sqrt(0.2 * 0.8 / 499)
    assert found.difference_low == pytest.approx(0.2 - reach)
    assert found.difference_high == pytest.approx(0.2 + reach)
    assert str(found) == "+0.2 [+0.165, +0.235], absolute, as the control is at 0"


def test_a_difference_that_is_the_same_in_all_users_has_no_width():
    new = np.repeat([0, 1], 50)
    found = compare_arms(outcomes_of(two_arms(), new, new, np.ones(100)), CLICKS, "new", "control")
    assert (found.difference_low, found.difference_high) == (1.0, 1.0)


@pytest.mark.parametrize("events", [(1, 0), (0, 1), (1, 1)])
def test_one_event_is_no_evidence(events):
    control, new = (np.eye(1000)[0] * count for count in events)
    arm = np.repeat([0, 1], 1000)
    found = compare_arms(
        outcomes_of(two_arms(), arm, [*control, *new], np.ones(2000)), CLICKS, "new", "control"
    )
    assert not found.significant
    assert found.p_value > 0.05
    assert ("absolute" in str(found)) == (0 in events)


def test_with_few_events_each_tail_of_equal_arms_is_significant_as_often_as_it_should_be():
    random = np.random.default_rng(0)
    definition, arm, draws = two_arms(), np.repeat([0, 1], 1000), 1500
    below = above = 0
    for _ in range(draws):
        clicks = random.poisson(0.02, 2000)
        found = compare_arms(
            outcomes_of(definition, arm, clicks, np.ones(2000)), CLICKS, "new", "control"
        )
        below += found.significant and found.difference < 0
        above += found.significant and found.difference > 0
    low, high = stats.binom.ppf([0.0005, 0.9995], draws, 0.025)
    assert low <= below <= high
    assert low <= above <= high


def test_an_arm_of_one_user_has_no_estimate_and_says_so():
    new = np.array([0, 0, 0, 0, 0, 1])
    outcomes = outcomes_of(two_arms(), new, np.zeros(6), np.ones(6))
    found = compare_arms(outcomes, CLICKS, "new", "control")
    assert str(found) == "no estimate yet: an arm has too few users"


def test_the_lifts_error_is_that_of_a_quotient():
    treated = ArmEstimate(users=1000, value=3.0, variance=0.01, user_variance=10.0)
    base = ArmEstimate(users=1000, value=1.0, variance=0.01, user_variance=10.0)
    found = compare(treated, base, **NAMES)
    error = math.sqrt(0.01 + 3.0**2 * 0.01)  # Var(a/b) = (Var a + (a/b)² Var b) / b²
    assert found.high - found.lift == pytest.approx(stats.t.ppf(0.975, 1998) * error)


@pytest.mark.parametrize(
    ("split", "mismatch"), [((5100, 4900), False), ((5160, 4840), False), ((5170, 4830), True)]
)
def test_a_split_that_one_test_in_a_thousand_gives_is_the_alarm(split, mismatch):
    arm = np.repeat([0, 1], split)
    found = sample_ratio(two_arms(), outcomes_of(two_arms(), arm, arm, np.ones(len(arm))))
    assert found.mismatch is mismatch  # p: 0.046, 0.0014, 0.0007
