import numpy as np
import pytest
from scipy import stats

from homefeed.abtest.definition import parse_definition
from homefeed.abtest.reranking import KIND, analyze_paired, compare_paired, decide_paired
from homefeed.abtest.verdict import HOLD, ROLLBACK, SHIP
from homefeed.errors import DatasetError


@pytest.fixture
def definition():
    return parse_definition(
        {
            "name": "t",
            "arms": {"control": {"release": 1}, "new": {"release": 2}},
            "primary": {"name": "hit", "actions": ["click"]},
        }
    )


def values(lift: float, users: int = 400, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    base = random.gamma(2.0, 0.5, users)  # users differ much more than arms do
    return {"control": base, "new": base * (1 + lift) + random.normal(0, 0.05, users)}


def test_pairing_finds_a_lift_that_the_spread_of_users_would_hide():
    pair = values(0.02)
    found = compare_paired(pair, "new", "control", metric="hit")
    assert found.low > 0
    assert found.low < 0.02 < found.high
    assert stats.ttest_ind(pair["new"], pair["control"]).pvalue > 0.2


def test_the_interval_agrees_with_the_paired_t_test():
    pair = values(0.02, users=1000)
    found = compare_paired(pair, "new", "control", metric="hit", samples=4000)
    reference = stats.ttest_rel(pair["new"], pair["control"]).confidence_interval(0.95)
    assert found.difference == pytest.approx(np.mean(pair["new"] - pair["control"]))
    width = reference.high - reference.low
    assert found.difference_low == pytest.approx(reference.low, abs=0.06 * width)
    assert found.difference_high == pytest.approx(reference.high, abs=0.06 * width)
    mean = pair["control"].mean()
    assert found.lift == pytest.approx(found.difference / mean)


def test_users_without_a_value_in_one_arm_are_left_out_of_both():
    pair = {"control": np.array([1.0, np.nan, 3.0]), "new": np.array([2.0, 9.0, 4.0])}
    found = compare_paired(pair, "new", "control", metric="hit")
    assert found.users == found.control_users == 2
    assert found.difference == 1.0


@pytest.mark.parametrize(("lift", "decision"), [(0.05, SHIP), (0.0, HOLD), (-0.05, ROLLBACK)])
def test_the_verdict_of_a_re_ranking_follows_its_interval(definition, lift, decision):
    analysis = analyze_paired(definition, {"hit": values(lift)})
    verdict = decide_paired(definition, analysis)
    assert analysis.kind == KIND == "paired re-ranking"
    assert verdict.decision == decision
    assert verdict.release == (2 if decision == SHIP else None)


def test_a_re_ranking_makes_no_claim_about_a_split_of_users(definition):
    analysis = analyze_paired(definition, {"hit": values(0.05)})
    assert not hasattr(analysis, "sample_ratio")


@pytest.mark.parametrize(("correction", "level"), [("bonferroni", 0.975), ("none", 0.95)])
def test_several_arms_of_a_re_ranking_share_the_error_rate(correction, level):
    definition = parse_definition(
        {
            "name": "t",
            "arms": {name: {"release": n} for n, name in enumerate(("control", "new", "other"), 1)},
            "primary": {"name": "hit", "actions": ["click"]},
            "guardrails": [{"name": "hides", "actions": ["hide"], "direction": "down"}],
            "correction": correction,
        }
    )
    three = values(0.05) | {"other": values(0.01, seed=1)["new"]}
    analysis = analyze_paired(definition, {"hit": three, "hides": three})
    assert [each.confidence for each in analysis.primary] == pytest.approx([level] * 2)
    assert [each.confidence for each in analysis.guardrails] == [0.95, 0.95]


def test_too_few_users_hold(definition):
    analysis = analyze_paired(definition, {"hit": values(0.5, users=30)})
    verdict = decide_paired(definition, analysis)
    assert verdict.decision == HOLD
    assert "30 users" in verdict.reasons[0]


def test_a_re_ranking_that_brings_up_what_the_control_never_did_is_rolled_back():
    definition = parse_definition(
        {
            "name": "t",
            "arms": {"control": {"release": 1}, "new": {"release": 2}},
            "primary": {"name": "hit", "actions": ["click"]},
            "guardrails": [{"name": "hides", "actions": ["hide"], "direction": "down"}],
        }
    )
    hides = {"control": np.zeros(400), "new": np.repeat([0.0, 1.0], 200)}
    analysis = analyze_paired(definition, {"hit": values(0.05), "hides": hides})
    verdict = decide_paired(definition, analysis)
    assert verdict.decision == ROLLBACK
    assert "hides is worse: +0.5 [" in verdict.reasons[0]
    assert "absolute, as the control is at 0" in verdict.reasons[0]


@pytest.mark.parametrize("users", [0, 3])
def test_a_guardrail_of_a_few_users_is_told_and_not_judged(users):
    definition = parse_definition(
        {
            "name": "t",
            "arms": {"control": {"release": 1}, "new": {"release": 2}},
            "primary": {"name": "hit", "actions": ["click"]},
            "guardrails": [{"name": "hides", "actions": ["hide"], "direction": "down"}],
        }
    )
    absent = np.full(400 - users, np.nan)
    hides = {name: np.append(absent, np.full(users, n)) for n, name in enumerate(definition.arms)}
    verdict = decide_paired(
        definition, analyze_paired(definition, {"hit": values(0.5), "hides": hides})
    )
    assert verdict.decision == SHIP
    assert verdict.reasons[-1] == f"new: hides is not judged: {users} users with lists that count"
    assert "no guardrail" not in verdict.reasons[0]


def test_a_re_ranking_may_lose_what_a_guardrail_tolerates():
    pair = values(-0.04)
    kept = compare_paired(pair, "new", "control", metric="hit")
    tolerant = compare_paired(pair, "new", "control", metric="hit", tolerated=-0.1)
    assert kept.beyond_high == kept.difference_high < 0
    assert tolerant.beyond_low > 0
    assert tolerant.difference_high == kept.difference_high


def test_other_users_in_another_arm_and_a_missing_metric_are_errors(definition):
    with pytest.raises(DatasetError, match="needs the same ones"):
        compare_paired({"a": np.ones(3), "b": np.ones(4)}, "a", "b", metric="hit")
    with pytest.raises(DatasetError, match="no values of metric 'hit'"):
        analyze_paired(definition, {"other": values(0.0)})


def test_equal_arms_are_told_apart_as_rarely_as_the_level_says(definition):
    found = [
        compare_paired(
            values(0.0, users=200, seed=seed), "new", "control", metric="hit", samples=150
        ).significant
        for seed in range(120)
    ]
    assert sum(found) <= stats.binom.ppf(0.9995, 120, 0.06)
