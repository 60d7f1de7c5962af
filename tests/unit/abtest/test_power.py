import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from statsmodels.stats.power import NormalIndPower

from homefeed.abtest.analysis import compare, estimate
from homefeed.abtest.power import detectable_effect, sample_size
from homefeed.errors import ConfigError


@given(
    mean=st.floats(0.1, 10),
    variance=st.floats(0.1, 10),
    effect=st.floats(0.005, 0.5),
    power=st.floats(0.5, 0.95),
)
def test_the_sample_size_is_that_of_statsmodels(mean, variance, effect, power):
    assume(mean * effect < variance**0.5)  # above it two users are enough, and nothing to solve
    needed = sample_size(mean, variance, effect, power=power)
    size = mean * effect / variance**0.5
    # One-sided at half the level: statsmodels counts the other, wrong-sign tail as power too.
    reference = NormalIndPower().solve_power(size, alpha=0.025, power=power, alternative="larger")
    assert needed == pytest.approx(max(2, np.ceil(reference)), abs=1.01)


@given(st.floats(0.1, 10), st.floats(0.1, 10), st.floats(0.01, 0.3))
def test_the_detectable_effect_is_the_inverse_of_the_sample_size(mean, variance, effect):
    needed = sample_size(mean, variance, effect)
    assert detectable_effect(mean, variance, needed) <= effect * (1 + 1e-9)
    if needed > 2:
        assert detectable_effect(mean, variance, needed - 1) > effect * (1 - 1e-9)


def test_a_test_of_the_planned_size_finds_the_planned_effect_as_often_as_planned():
    random = np.random.default_rng(0)
    mean, effect = 2.0, 0.1
    users = sample_size(mean, mean, effect, power=0.8)
    found = 0
    for _ in range(300):
        ours = random.poisson(mean * (1 + effect), users).astype(float)
        base = random.poisson(mean, users).astype(float)
        parts = [estimate(x, np.ones(users)) for x in (ours, base)]
        found += compare(*parts, metric="m", arm="a", control="c").low > 0
    assert 0.72 < found / 300 < 0.88


def test_what_no_number_of_users_can_show_is_refused():
    with pytest.raises(ConfigError, match="no difference"):
        sample_size(0.0, 1.0, 0.1)
    with pytest.raises(ConfigError, match="no difference"):
        sample_size(1.0, 1.0, 0.0)
    assert detectable_effect(1.0, 1.0, 0) == float("inf")
