import math

import numpy as np
import pytest

from homefeed.evaluation.bootstrap import bootstrap_mean, bootstrap_means, paired_difference


def test_the_interval_is_about_two_standard_errors_wide():
    values = np.random.default_rng(1).normal(3.0, 2.0, 4_000)
    found = bootstrap_mean(values, samples=2_000)
    error = values.std() / math.sqrt(len(values))
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error * 2)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error * 2)


def test_intervals_cover_the_truth_about_nineteen_times_of_twenty():
    generator = np.random.default_rng(2)
    covered = 0
    for trial in range(200):
        found = bootstrap_mean(
            generator.binomial(1, 0.3, 300).astype(float), samples=300, seed=trial
        )
        covered += found.low <= 0.3 <= found.high
    assert 178 <= covered <= 199  # binomial(200, 0.95), 99.9 %


def test_missing_values_are_left_out_of_mean_and_count():
    found = bootstrap_mean(np.array([1.0, math.nan, 3.0]))
    assert found.mean == 2.0
    assert found.users == 2


def test_nobody_at_all_has_no_mean_and_excludes_nothing():
    found = bootstrap_mean(np.array([math.nan]))
    assert found.users == 0
    assert math.isnan(found.mean)
    assert not found.excludes_zero


def test_pairs_that_move_together_have_a_narrow_difference():
    generator = np.random.default_rng(3)
    base = generator.normal(0, 10, 500)
    better = base + 0.5 + generator.normal(0, 0.1, 500)
    paired = paired_difference(better, base)
    assert paired.excludes_zero
    assert paired.mean == pytest.approx((better - base).mean())
    assert not bootstrap_mean(base).excludes_zero


def test_a_difference_of_nothing_includes_zero():
    values = np.arange(50.0)
    assert not paired_difference(values, values).excludes_zero


def test_different_users_cannot_be_paired():
    with pytest.raises(ValueError, match="3 != 2"):
        paired_difference(np.zeros(3), np.zeros(2))


def test_columns_share_their_draws():
    values = np.random.default_rng(4).normal(size=(200, 1))
    both = bootstrap_means(np.concatenate([values, 2 * values], axis=1), samples=300)
    assert both[1].low == pytest.approx(2 * both[0].low)


def test_memory_chunks_do_not_change_the_result():
    values = np.random.default_rng(5).normal(size=(100, 1))
    (whole,) = bootstrap_means(values, samples=50)
    (chunked,) = bootstrap_means(values, samples=50, chunk_draws=300)
    assert [chunked.low, chunked.high] == pytest.approx([whole.low, whole.high], rel=1e-12)
