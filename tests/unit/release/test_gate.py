"""The promotion gate."""

import numpy as np
import pytest

from homefeed.errors import PromotionRefused
from homefeed.release.gate import (
    LEAST_USERS,
    GateDecision,
    GateRule,
    decide,
    without_champion,
)

RULE = GateRule(metric="HIT@3", bootstrap_rounds=400)


@pytest.fixture
def champion() -> np.ndarray:
    return np.random.default_rng(0).uniform(0.2, 0.8, size=600)


def test_a_challenger_that_is_better_for_everybody_passes_with_its_exact_difference(champion):
    decision = decide(RULE, champion, champion + 0.05)
    assert decision.passed
    difference = decision.figures["difference"]
    assert [difference[k] for k in ("mean", "low", "high")] == pytest.approx([0.05] * 3)
    assert decision.figures["users"] == 600
    decision.require()


def test_the_same_scores_do_not_pass(champion):
    decision = decide(RULE, champion, champion)
    assert not decision.passed
    with pytest.raises(PromotionRefused, match="HIT@3 changes by"):
        decision.require()


def test_noise_does_not_pass(champion):
    noise = np.random.default_rng(1).normal(0, 0.3, size=600)
    assert not decide(RULE, champion, champion + noise - noise.mean() + 0.001).passed


def test_the_same_users_make_the_comparison_sharp(champion):
    """A difference much smaller than the spread between users is seen, because it is paired."""
    small = np.random.default_rng(2).normal(0.01, 0.02, size=600)
    assert decide(RULE, champion, champion + small).passed
    shuffled = np.random.default_rng(3).permutation(champion + small)
    assert not decide(RULE, champion, shuffled).passed


def test_the_minimum_effect_is_relative_to_the_champion(champion):
    better = champion * 1.10
    assert decide(GateRule(metric="m", min_lift=0.08), champion, better).passed
    refused = decide(GateRule(metric="m", min_lift=0.12), champion, better)
    assert not refused.passed
    assert refused.figures["needed_difference"] == pytest.approx(0.12 * champion.mean())


def test_a_cohort_that_loses_refuses_a_challenger_that_wins_on_the_whole(champion):
    cohorts = np.array(["low activity"] * 100 + ["high activity"] * 500)
    challenger = champion + np.where(cohorts == "low activity", -0.1, 0.1)
    assert decide(RULE, champion, challenger).passed
    refused = decide(RULE, champion, challenger, cohorts)
    assert not refused.passed
    assert "low activity" in refused.reason
    assert set(refused.figures["cohorts"]) == {"low activity", "high activity"}
    tolerant = GateRule(metric="m", bootstrap_rounds=400, max_cohort_loss=0.2)
    assert decide(tolerant, champion, challenger, cohorts).passed


def test_a_small_cohort_that_loses_by_chance_refuses_nothing(champion):
    noise = np.random.default_rng(4).normal(0, 0.3, size=20)
    challenger = champion + 0.1
    challenger[:20] += noise - noise.mean() - 0.12
    decision = decide(RULE, champion, challenger, np.repeat(["few", "many"], [20, 580]))
    few = decision.figures["cohorts"]["few"]
    assert few["mean"] < 0 < few["high"]
    assert decision.passed


def test_a_handful_of_users_passes_nothing():
    for users in (1, LEAST_USERS - 1):
        decision = decide(RULE, np.zeros(users), np.ones(users))
        assert not decision.passed
        assert f"for {users} users; {LEAST_USERS} are needed" in decision.reason
    assert decide(RULE, np.zeros(LEAST_USERS), np.ones(LEAST_USERS)).passed


def test_a_cohort_of_a_handful_refuses_nothing(champion):
    challenger = champion + 0.1
    challenger[0] -= 0.4
    decision = decide(RULE, champion, challenger, np.repeat(["few", "many"], [1, 599]))
    assert decision.passed
    assert decision.figures["cohorts"]["few"]["high"] < 0


def test_users_without_the_metric_are_left_out_of_both(champion):
    champion, challenger = champion.copy(), champion + 0.05
    champion[:50] = challenger[:50] = np.nan
    decision = decide(RULE, champion, challenger)
    assert decision.passed
    assert decision.figures["users"] == 550


def test_a_metric_that_only_one_of_them_has_is_an_error(champion):
    broken = champion.copy()
    broken[7] = np.nan
    with pytest.raises(ValueError, match="user row 7"):
        decide(RULE, champion, broken)


def test_other_users_are_an_error(champion):
    with pytest.raises(ValueError, match=r"must all be \[U\]"):
        decide(RULE, champion, champion[:-1])


def test_a_holdout_without_users_refuses():
    with pytest.raises(PromotionRefused, match="no user with a HIT@3"):
        decide(RULE, np.array([np.nan]), np.array([np.nan]))


def test_the_first_release_passes(champion):
    decision = without_champion(RULE, champion)
    assert decision.passed
    assert decision.figures["challenger"] == pytest.approx(champion.mean())


def test_a_decision_comes_back_from_json_as_it_was(champion):
    import json

    cohorts = ["few"] * 100 + ["many"] * 500
    decision = decide(RULE, champion, champion + 0.05, cohorts)
    again = GateDecision.from_json(json.loads(json.dumps(decision.to_json())))
    assert again == decision


def test_a_rule_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="confidence"):
        GateRule(metric="m", confidence=95)
