"""What was shown to somebody is known of them whether or not they will ever act."""

import math

import numpy as np
import pytest

from homefeed.data.familiarity import FEATURES

from .test_training_set import DAY_S, NOON, action, made, shown


def _shown_lately(training_set) -> np.ndarray:
    """The feature, float32 [n]."""
    return np.asarray(training_set.familiarity)[:, FEATURES.index("shown_lately")]


def test_an_earlier_showing_is_told_of_those_who_will_act_and_of_those_who_never_do(tmp_path):
    """User 1 acts once, after everything; users 2 and 3 never do. All saw item 5 a day before."""
    seen = [shown(user, 5, NOON + user - day * DAY_S) for user in (1, 2, 3) for day in (1, 0)]
    seen.append(shown(3, 6, NOON))  # which 3 alone had not seen
    actions = [action(9, 5, 0.0), action(9, 6, 0.0), action(1, 6, 5 * DAY_S)]
    *_, found = made(tmp_path, actions, seen)
    time_s, item = found.time_s[found.request], np.asarray(found.item)
    again = (time_s >= NOON) & (item == item[0])
    expected = np.where(again, math.exp(-1 / 7), 0)
    assert again.sum() == 3
    assert set(np.asarray(found.user)[found.request[again]] > 0) == {True, False}
    assert _shown_lately(found) == pytest.approx(expected)


def test_two_who_never_act_are_not_taken_for_one_another(tmp_path):
    seen = [shown(2, 5, NOON - DAY_S), shown(3, 5, NOON)]
    *_, found = made(tmp_path, [action(9, 5, 0.0)], seen)
    assert not _shown_lately(found).any()
