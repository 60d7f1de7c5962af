import json
import math
from dataclasses import replace

import numpy as np
import pytest

from homefeed.abtest.analysis import (
    Analysis,
    ArmEstimate,
    Comparison,
    SampleRatio,
    compare,
    estimate,
)
from homefeed.abtest.definition import parse_definition
from homefeed.abtest.verdict import HOLD, ROLLBACK, SHIP, decide, treatment_releases, verdict_json
from homefeed.errors import ArtifactError


def figure(low, high, metric="clicks", arm="new", users=5000, tolerated=0.0) -> Comparison:
    lift = (low + high) / 2
    return Comparison(
        metric=metric,
        arm=arm,
        control="control",
        value=2 * (1 + lift),
        control_value=2.0,
        users=users,
        control_users=users,
        difference=2 * lift,
        difference_low=2 * low,
        difference_high=2 * high,
        beyond_low=2 * (low - tolerated),
        beyond_high=2 * (high - tolerated),
        lift=lift,
        low=low,
        high=high,
        p_value=0.5,
        confidence=0.95,
    )


def absolute(low, high) -> Comparison:
    """Hides where the control has none: a difference, and no lift."""
    nothing = {"control_value": 0.0, "lift": math.nan, "low": math.nan, "high": math.nan}
    ends = {"difference": (low + high) / 2, "difference_low": low, "difference_high": high}
    beyond = {"beyond_low": low, "beyond_high": high}
    return replace(figure(0, 0, metric="hides"), **nothing, **ends, **beyond)


def analysis(*primary, hides=(-0.1, 0.1), tolerated=0.0, **changes) -> Analysis:
    guardrails = tuple(
        figure(*hides, metric="hides", arm=c.arm, tolerated=tolerated) for c in primary
    )
    made = Analysis(
        test="t",
        sample_ratio=SampleRatio(users={"control": 5000, "new": 5000}, expected={}, p_value=0.5),
        crossed_users=0,
        misassigned_users=0,
        wrong_release_requests=0,
        primary=primary,
        guardrails=guardrails,
        baseline=ArmEstimate(users=5000, value=2.0, variance=0.001, user_variance=5.0),
    )
    return replace(made, **changes)


def test_a_clear_gain_ships_the_release_of_its_arm(define):
    verdict = decide(define(), analysis(figure(0.01, 0.05)))
    assert (verdict.decision, verdict.arm, verdict.release) == (SHIP, "new", 2)
    assert "+3.0% [+1.0%, +5.0%]" in verdict.reasons[0]


def test_an_interval_that_holds_zero_holds_and_says_how_many_users_are_needed(define):
    verdict = decide(define(), analysis(figure(-0.01, 0.05, users=200)))
    assert (verdict.decision, verdict.arm, verdict.release) == (HOLD, None, None)
    assert "the interval holds zero" in verdict.reasons[0]
    assert "a lift of 5.0% would need 7,849 users per arm" in verdict.reasons[1]


def test_enough_users_without_a_difference_hold_without_asking_for_more(define):
    verdict = decide(define(), analysis(figure(-0.001, 0.001, users=100_000)))
    assert verdict.decision == HOLD
    assert len(verdict.reasons) == 1


def test_a_clear_loss_rolls_back(define):
    verdict = decide(define(), analysis(figure(-0.05, -0.01)))
    assert verdict.decision == ROLLBACK
    assert "significantly worse" in verdict.reasons[0]


def test_a_broken_guardrail_rolls_back_whatever_the_primary_metric_gains(define):
    verdict = decide(define(), analysis(figure(0.01, 0.05), hides=(0.02, 0.3)))
    assert verdict.decision == ROLLBACK
    assert "hides is worse" in verdict.reasons[0]


def test_harm_where_the_control_has_none_of_it_rolls_back_and_is_told_in_absolute_terms(define):
    clicks = figure(0.01, 0.05)
    verdict = decide(define(), analysis(clicks, guardrails=(absolute(0.03, 0.05),)))
    assert verdict.decision == ROLLBACK
    assert verdict.reasons == (
        "new: hides is worse: +0.04 [+0.03, +0.05], absolute, as the control is at 0",
    )


@pytest.mark.parametrize("interval", [(-0.01, 0.02), (0.0, 0.0), (math.nan, math.nan)])
def test_a_difference_from_none_that_may_be_chance_is_no_harm(interval, define):
    clicks = figure(0.01, 0.05)
    verdict = decide(define(), analysis(clicks, guardrails=(absolute(*interval),)))
    assert verdict.decision == SHIP


@pytest.mark.parametrize(
    ("interval", "decision"), [((-0.05, -0.03), ROLLBACK), ((0.03, 0.05), SHIP)]
)
def test_a_guardrail_that_should_go_up_breaks_below_a_control_at_0(interval, decision, define):
    balance = {"name": "hides", "actions": ["hide"], "direction": "up"}
    clicks = figure(0.01, 0.05)
    verdict = decide(
        define(guardrails=[balance]), analysis(clicks, guardrails=(absolute(*interval),))
    )
    assert verdict.decision == decision


def test_a_guardrail_that_improves_in_its_direction_is_no_harm(define):
    assert decide(define(), analysis(figure(0.01, 0.05), hides=(-0.3, -0.1))).decision == SHIP


def test_a_guardrail_within_its_tolerance_is_no_harm(define):
    tolerant = [
        {
            "name": "hides",
            "actions": ["hide"],
            "per": "request",
            "direction": "down",
            "max_harm": 0.05,
        }
    ]
    definition = define(guardrails=tolerant)
    for hides, decision in (((0.02, 0.3), SHIP), ((0.06, 0.3), ROLLBACK)):
        found = analysis(figure(0.01, 0.05), hides=hides, tolerated=0.05)
        assert decide(definition, found).decision == decision


@pytest.mark.parametrize(
    ("events", "max_harm", "decision"), [(20, 0.0, ROLLBACK), (20, 12.0, SHIP), (4, 0.0, SHIP)]
)
def test_harm_is_seen_where_the_control_has_two_events(events, max_harm, decision, define):
    def of(count: int) -> ArmEstimate:
        return estimate((np.arange(1000) < count).astype(float), np.ones(1000))

    hides = {"name": "hides", "actions": ["hide"], "direction": "down", "max_harm": max_harm}
    names = {"metric": "hides", "arm": "new", "control": "control"}
    guardrail = compare(of(events), of(2), **names, tolerated=max_harm)
    assert guardrail.low < 0 < guardrail.high  # of so small a base the lift says nothing
    clicks = figure(0.01, 0.05)
    verdict = decide(define(guardrails=[hides]), analysis(clicks, guardrails=(guardrail,)))
    assert verdict.decision == decision
    if decision == ROLLBACK:
        told = (
            "hides is worse: +0.018 [+0.00888, +0.0271], absolute, as the control has few of them"
        )
        assert told in verdict.reasons[0]


def test_a_gain_below_the_minimum_effect_holds(define):
    verdict = decide(define(min_effect=0.04), analysis(figure(0.01, 0.05)))
    assert verdict.decision == HOLD
    assert "below the minimum effect of 4.0%" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {
                "sample_ratio": SampleRatio(
                    users={"control": 9, "new": 1}, expected={}, p_value=1e-9
                )
            },
            "sample-ratio mismatch",
        ),
        ({"crossed_users": 500}, "exposed to more than one arm"),
        ({"misassigned_users": 500}, "than their hash"),
        ({"wrong_release_requests": 1}, "another release"),
    ],
)
def test_a_split_that_cannot_be_believed_holds_gain_and_loss_alike(changes, reason, define):
    for interval in ((0.01, 0.05), (-0.05, -0.01)):
        verdict = decide(define(), analysis(figure(*interval), **changes))
        assert verdict.decision == HOLD
        assert reason in verdict.reasons[0]


def test_a_few_crossed_users_do_not_stop_a_test(define):
    assert decide(define(), analysis(figure(0.01, 0.05), crossed_users=20)).decision == SHIP


def test_too_few_users_hold_and_the_power_calculation_says_how_many(define):
    verdict = decide(define(), analysis(figure(0.01, 0.05, users=40)))
    assert verdict.decision == HOLD
    assert "at least 100 are needed" in verdict.reasons[0]
    assert "7,849 users per arm" in verdict.reasons[1]


def test_an_early_look_never_ships_but_still_rolls_back(define):
    early = decide(define(), analysis(figure(0.01, 0.05)), interim=True)
    assert early.decision == HOLD
    assert "planned end is not reached" in early.reasons[0]
    worse = decide(define(), analysis(figure(-0.05, -0.01)), interim=True)
    assert worse.decision == ROLLBACK
    assert "planned end is not reached" in worse.reasons[0]


def test_a_lift_that_cannot_be_told_holds(define):
    verdict = decide(define(), analysis(figure(math.nan, math.nan)))
    assert verdict.decision == HOLD
    assert "has no lift" in verdict.reasons[0]


def test_a_metric_that_should_go_down_ships_when_it_does():
    definition = parse_definition(
        {
            "name": "t",
            "arms": {"control": {"release": 1}, "new": {"release": 2}},
            "primary": {"name": "clicks", "actions": ["skip"], "direction": "down"},
        }
    )
    fewer = replace(analysis(figure(-0.05, -0.01)), guardrails=())
    more = replace(analysis(figure(0.01, 0.05)), guardrails=())
    assert decide(definition, fewer).decision == SHIP
    assert decide(definition, more).decision == ROLLBACK


def test_of_several_arms_the_surest_ships_and_all_must_lose_for_a_rollback(define):
    arms = {"control": {"release": 1}, "new": {"release": 2}, "other": {"release": 3}}
    definition = define(arms=arms)
    good, better = figure(0.01, 0.09), figure(0.03, 0.05, arm="other")
    bad, worse = figure(-0.09, -0.01), figure(-0.05, -0.03, arm="other")
    assert decide(definition, analysis(good, better)).release == 3
    assert decide(definition, analysis(good, worse)).release == 2
    assert decide(definition, analysis(bad, worse)).decision == ROLLBACK
    mixed = decide(definition, analysis(bad, figure(-0.01, 0.01, arm="other")))
    assert mixed.decision == HOLD
    assert [arm.decision for arm in mixed.arms] == [ROLLBACK, HOLD]


@pytest.mark.parametrize(("control", "treatments"), [("", {2}), ("new", {1}), ("control", {2})])
def test_a_written_verdict_tells_which_releases_were_tested_against_the_control(
    control, treatments, define
):
    definition = define(control=control)
    loss = figure(-0.05, -0.01, arm=definition.treatments[0])
    written = verdict_json(
        decide(definition, analysis(loss)), definition, kind="test", live=True, champion=1
    )
    read = json.loads(json.dumps(written))
    assert (read["kind"], read["live"], read["decision"]) == ("test", True, ROLLBACK)
    assert read["control"] == definition.control_arm
    assert treatment_releases(read) == treatments


def test_a_release_that_the_control_serves_too_is_no_treatment():
    written = {"control": "a", "releases": {"a": 4, "b": 4, "c": 5}}
    assert treatment_releases(written) == {5}


@pytest.mark.parametrize(("named", "said"), [({"control": "z"}, "'z'"), ({}, "None")])
def test_a_verdict_whose_control_is_no_arm_says_so(named, said):
    with pytest.raises(ArtifactError, match=f"control {said} is no arm; arms: a, b"):
        treatment_releases({**named, "releases": {"a": 4, "b": 5}})


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("events", [(1, 0), (0, 1)])
def test_one_event_neither_ships_nor_rolls_back(direction, events):
    values = [estimate(np.eye(1000)[0] * count, np.ones(1000)) for count in events]
    definition = parse_definition(
        {
            "name": "t",
            "arms": {"control": {"release": 1}, "new": {"release": 2}},
            "primary": {"name": "clicks", "actions": ["click"], "direction": direction},
        }
    )
    found = compare(values[1], values[0], metric="clicks", arm="new", control="control")
    assert decide(definition, analysis(found, guardrails=())).decision == HOLD


def test_a_lift_of_exactly_the_minimum_effect_ships(define):
    test = define(min_effect=0.5)
    assert decide(test, analysis(figure(0.25, 0.75))).decision == SHIP
    assert decide(test, analysis(figure(0.25, 0.7))).decision == HOLD
