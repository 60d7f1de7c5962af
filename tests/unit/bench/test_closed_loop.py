"""The closed loop's arithmetic, against slow and obvious references."""

import numpy as np
import polars as pl
import pytest
from loop.figures import aa_share, binomial_interval, length_of, paired_lift
from loop.logs import METRICS, POSITIVES, ArmLog, analyzed, definition_of, p_values_of_redrawn_aa

from homefeed.abtest.assignment import arm_positions


def log_of(users: int, seed: int, chance: float = 0.3) -> ArmLog:
    """One to four pages a user; each is answered by a click with ``chance``, else by a closeup."""
    draw = np.random.default_rng(seed)
    user = np.repeat(np.arange(users), draw.integers(1, 5, users))
    requests = [f"{seed}-{n}" for n in range(len(user))]
    clicked = draw.random(len(user)) < chance
    shared = {"user_id": [f"i:{u}" for u in user], "time_ms": np.arange(len(user)) * 1000}
    exposures = pl.DataFrame({**shared, "request_id": requests, "release_version": 1})
    kinds = np.where(clicked, "click", "closeup")
    actions = {**shared, "item_id": "i:1", "action_type": kinds, "request_id": requests}
    return ArmLog(exposures, pl.DataFrame(actions))


def test_of_500_draws_13_to_37_may_be_significant():
    assert binomial_interval(500, 0.05) == (13, 37)


def test_the_interval_holds_99_percent_of_binomial_draws():
    low, high = binomial_interval(500, 0.05)
    hits = np.random.default_rng(0).binomial(500, 0.05, 100_000)
    assert ((hits >= low) & (hits <= high)).mean() == pytest.approx(0.99, abs=0.005)


def test_uniform_p_values_pass_and_small_ones_do_not():
    uniform = (np.arange(500) + 0.5) / 500
    assert aa_share(uniform).significant == 25
    assert aa_share(uniform).passed
    assert not aa_share(uniform / 2).passed  # 10 % significant: an interval that is too narrow
    assert not aa_share(np.full(500, np.nan)).passed  # nothing was measured: never a pass


def test_a_paired_lift_is_the_ratio_of_sums_and_its_interval_that_of_the_bootstrap():
    draw = np.random.default_rng(1)
    base = draw.gamma(1.0, 3.0, 600)
    ours = base * draw.normal(1.1, 0.3, 600)
    found = paired_lift(ours, base)
    picks = draw.integers(0, 600, (4000, 600))
    drawn = ours[picks].sum(1) / base[picks].sum(1) - 1
    assert found.lift == pytest.approx(ours.sum() / base.sum() - 1)
    assert [found.low, found.high] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.004)
    assert found.excludes_zero


def test_equal_arms_have_no_paired_lift_and_no_doubt_about_it():
    base = np.array([1.0, 4.0, 2.0])
    found = paired_lift(base, base)
    assert (found.lift, found.low, found.high) == (0.0, 0.0, 0.0)


def test_the_length_is_the_first_window_that_sees_the_effect():
    rows = [(day, 100 * day, 1.0, 1.0) for day in range(1, 61)]
    found = length_of(rows, 0.2, arms=2)
    needed = 2 * (1.959964 + 0.841621) ** 2 / 0.2**2  # users per arm
    assert found.days == np.ceil(needed / 50)
    assert found.enough
    assert found.detectable <= 0.2


def test_a_world_that_is_too_small_says_so():
    found = length_of([(1, 10, 1.0, 1.0), (2, 20, 1.0, 1.0)], 0.01, arms=2)
    assert (found.days, found.enough) == (2, False)


def test_a_drawn_test_takes_each_user_from_the_log_of_the_arm_assigned():
    never, always = log_of(300, 1, chance=0.0), log_of(300, 2, chance=1.0)
    definition = definition_of({"never": 1, "always": 1}, "salt", (POSITIVES,))
    comparison = analyzed(definition, {"never": never, "always": always}).primary[0]
    position = arm_positions(definition, [f"i:{user}" for user in range(300)])
    assert (comparison.control_value, comparison.value) == (0.0, 1.0)
    assert comparison.users == int((position == 1).sum())


def test_redrawn_tests_of_one_log_are_rarely_significant_and_differ():
    p_values = p_values_of_redrawn_aa(log_of(400, 3), 60, METRICS[:1])[:, 0]
    assert len(np.unique(p_values)) > 50
    assert binomial_interval(60, 0.05)[0] <= (p_values < 0.05).sum() <= 8
    assert 0.3 < np.median(p_values) < 0.7
