from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from homefeed.abtest.assignment import OUTSIDE, arm_of, arm_positions
from homefeed.abtest.definition import Arm, Definition, Metric

USERS = [f"i:{n}" for n in range(20_000)]
SALTS = st.text(min_size=1, max_size=8)


def definition(weights=(1.0, 1.0), **changes) -> Definition:
    arms = {f"arm{n}": Arm(release=n + 1, weight=w) for n, w in enumerate(weights)}
    clicks = Metric(name="clicks", actions=("click",))
    return Definition(name="t", arms=arms, primary=clicks, **changes)


def test_assignment_never_changes_between_versions_of_the_code():
    # Frozen: a running test would otherwise move its users to other arms.
    test = definition(salt="golden", layer="ranking", traffic=0.8)
    assert arm_positions(test, [f"i:{n}" for n in range(12)]).tolist() == [
        1,
        0,
        0,
        0,
        0,
        0,
        1,
        1,
        1,
        0,
        1,
        1,
    ]
    assert arm_of(test, "s:ö") == "arm0"


@given(salt=SALTS, layer=SALTS, user=st.text(max_size=10))
def test_one_user_at_a_time_equals_all_at_once(salt, layer, user):
    test = definition(salt=salt, layer=layer, traffic=0.5)
    position = int(arm_positions(test, ["i:1", user, "i:2"])[1])
    assert arm_of(test, user) == (None if position == OUTSIDE else f"arm{position}")


@settings(deadline=None, max_examples=25)
@given(salt=SALTS, weights=st.lists(st.floats(0.2, 3.0), min_size=2, max_size=4))
def test_arms_are_balanced_by_their_weights(salt, weights):
    counts = np.bincount(arm_positions(definition(weights, salt=salt), USERS))
    expected = len(USERS) * np.array(weights) / sum(weights)
    assert stats.chisquare(counts, expected).pvalue > 1e-6


@settings(deadline=None, max_examples=25)
@given(salts=st.lists(SALTS, min_size=2, max_size=2, unique=True), by_layer=st.booleans())
def test_tests_of_other_layers_or_salts_assign_independently(salts, by_layer):
    name = "layer" if by_layer else "salt"
    one, two = (arm_positions(definition(**{name: salt}), USERS) for salt in salts)
    table = np.histogram2d(one, two, bins=2)[0]
    assert stats.chi2_contingency(table).pvalue > 1e-6


@settings(deadline=None, max_examples=10)
@given(low=st.floats(0.05, 1.0), high=st.floats(0.05, 1.0))
def test_more_traffic_keeps_those_who_are_in_and_their_arms(low, high):
    low, high = sorted((low, high))
    some = arm_positions(definition(traffic=low), USERS[:3000])
    more = arm_positions(definition(traffic=high), USERS[:3000])
    inside = some != OUTSIDE
    assert (some[inside] == more[inside]).all()


@pytest.mark.parametrize("traffic", [0.1, 0.5])
def test_traffic_is_the_share_of_users_who_take_part(traffic):
    inside = arm_positions(definition(traffic=traffic), USERS) != OUTSIDE
    assert stats.binomtest(int(inside.sum()), len(USERS), traffic).pvalue > 1e-6


def test_taking_part_does_not_depend_on_the_arm():
    everyone = arm_positions(definition(), USERS)
    inside = arm_positions(definition(traffic=0.5), USERS) != OUTSIDE
    table = np.histogram2d(everyone, inside, bins=2)[0]
    assert stats.chi2_contingency(table).pvalue > 1e-6


def test_full_traffic_leaves_nobody_outside():
    assert (arm_positions(definition(), USERS) != OUTSIDE).all()


def test_layer_and_salt_cannot_be_confused_with_the_user_id():
    test = definition(salt="s")
    positions = [arm_positions(replace(test, salt="s" * n), USERS[:64]).tolist() for n in (1, 2, 3)]
    assert len({tuple(p) for p in positions}) == 3
