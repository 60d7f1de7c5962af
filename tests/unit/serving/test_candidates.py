from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.candidates import POPULAR, RECENT, USER_VECTOR, Mix, retrieve

MIX = Mix(count=10, popular_share=0.2, recent_share=0.1)


class Ranks:
    """Finds items 1, 2, 3, ... whatever the vector."""

    def __init__(self, num_items: int) -> None:
        self.num_items = num_items

    def search(self, vector, count, *, exclude):
        found = np.array([n for n in range(1, self.num_items + 1) if n not in exclude][:count])
        return found, -found.astype(np.float32)


def catalogue(num_items=50) -> SimpleNamespace:
    return SimpleNamespace(
        index=Ranks(num_items),
        popular=np.arange(num_items, 0, -1),
        recent=np.arange(20, 30),
    )


VECTOR = np.ones(4)


def test_each_source_gives_its_share():
    found = retrieve(catalogue(), VECTOR, set(), MIX)
    assert found.items.tolist() == [1, 2, 3, 4, 5, 6, 7, 50, 49, 20]
    assert found.sources.tolist() == [USER_VECTOR] * 7 + [POPULAR] * 2 + [RECENT]


def test_without_a_vector_popular_items_fill_up():
    found = retrieve(catalogue(), None, set(), MIX)
    assert found.items.tolist() == [50, 49, 20, 48, 47, 46, 45, 44, 43, 42]


def test_seen_items_are_passed_over():
    found = retrieve(catalogue(), VECTOR, {1, 3, 50}, MIX)
    assert found.items.tolist() == [2, 4, 5, 6, 7, 8, 9, 49, 48, 20]


def test_a_catalogue_smaller_than_the_wish_gives_what_it_has():
    small = catalogue(num_items=4)
    small.recent = np.array([2])
    assert sorted(retrieve(small, VECTOR, {1}, MIX).items.tolist()) == [2, 3, 4]


@given(
    seen=st.sets(st.integers(1, 50)),
    count=st.integers(1, 60),
    popular=st.floats(0, 0.5),
    recent=st.floats(0, 0.5),
    with_vector=st.booleans(),
)
def test_candidates_are_distinct_unseen_and_as_many_as_can_be(
    seen, count, popular, recent, with_vector
):
    mix = Mix(count=count, popular_share=popular, recent_share=recent)
    found = retrieve(catalogue(), VECTOR if with_vector else None, seen, mix)
    chosen = found.items.tolist()
    assert len(set(chosen)) == len(chosen) == min(count, 50 - len(seen))
    assert not set(chosen) & seen


@pytest.mark.parametrize("with_vector", [True, False])
def test_nothing_is_found_where_all_is_seen(with_vector):
    vector = VECTOR if with_vector else None
    assert len(retrieve(catalogue(), vector, set(range(1, 51)), MIX)) == 0
