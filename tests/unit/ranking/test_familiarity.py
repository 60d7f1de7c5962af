import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homefeed.clock import DAY_S
from homefeed.data.familiarity import LAST_ACTIONS, NEVER_MS, acted_on, familiarity
from homefeed.data.showings import Showings

DAY_MS = 1000 * DAY_S
SHOWING = st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(10**12, 10**12 + 40))


def features(shown_ms: int, request_ms: int = 30 * DAY_MS, acted: bool = False) -> list[float]:
    return familiarity(np.array([acted]), np.array([shown_ms]), request_ms)[0].tolist()


def test_a_showing_fades_and_is_forgotten_after_fourteen_days():
    now = 30 * DAY_MS
    assert features(NEVER_MS) == [0, 0]
    assert features(now - 1)[1] == pytest.approx(1)
    assert features(now - 7 * DAY_MS)[1] == pytest.approx(math.exp(-1))
    assert features(now - 14 * DAY_MS)[1] == pytest.approx(math.exp(-2))
    assert features(now - 14 * DAY_MS - 1000) == [0, 0]
    assert features(NEVER_MS, acted=True) == [1, 0]


def test_a_showing_at_the_requests_own_time_or_later_counts_not():
    assert features(30 * DAY_MS) == [0, 0]
    assert features(31 * DAY_MS) == [0, 0]


@given(showings=st.lists(SHOWING, max_size=30), asked=st.lists(SHOWING, min_size=1, max_size=12))
def test_the_last_showing_is_found_as_a_slow_search_finds_it(showings, asked):
    user, item, time_ms = np.array(showings, np.int64).reshape(-1, 3).T
    found = Showings.of(user, item, time_ms).last_before(*np.array(asked, np.int64).T)
    for (u, i, t), got in zip(asked, found.tolist(), strict=True):
        earlier = [s[2] for s in showings if s[:2] == (u, i) and s[2] < t and u > 0 and i > 0]
        assert got == max(earlier, default=NEVER_MS)


def test_what_a_user_acted_on_is_told_as_a_slow_search_tells_it():
    items = np.array([[5, 4, 0], [6, 0, 0], [0, 0, 0]])
    request, item = np.array([0, 0, 1, 1, 2, 1]), np.array([5, 6, 6, 4, 4, 0])
    slow = [i > 0 and i in items[r].tolist() for r, i in zip(request, item, strict=True)]
    assert acted_on(items, request, item).tolist() == slow


def test_only_the_last_hundred_actions_count_and_items_without_an_index_keep_their_place():
    items = np.arange(1, 131)[None]
    items[0, 50] = 0
    asked = np.array([1, 51, 52, LAST_ACTIONS, LAST_ACTIONS + 1])
    found = acted_on(items, np.zeros(5, int), asked)
    assert found.tolist() == [True, False, True, True, False]
