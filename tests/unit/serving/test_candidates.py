from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homefeed.retrieval import ItemIndex
from serving.candidates import POPULAR, RECENT, USER_VECTOR, Mix, retrieve
from serving.served import ServedRelease

MIX = Mix(count=10, popular_share=0.2, recent_share=0.1)


VECTOR = np.array([1, 0], np.float32)


@pytest.fixture(scope="session")
def catalogue(make_release) -> Callable[..., ServedRelease]:
    """Makes a release of so many items, of which those with lower numbers are nearer to VECTOR."""

    def make(num_items: int = 50, recent=range(20, 30)) -> ServedRelease:
        angles = np.linspace(0, 1, num_items, dtype=np.float32)
        vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        return make_release(
            index=ItemIndex.build(np.concatenate([np.zeros((1, 2), np.float32), vectors])),
            popular=np.arange(num_items, 0, -1, dtype=np.int32),
            recent=np.array(recent, np.int32),
        )

    return make


def test_each_source_gives_its_share(catalogue):
    found = retrieve(catalogue(), VECTOR, set(), MIX)
    assert found.items.tolist() == [1, 2, 3, 4, 5, 6, 7, 50, 49, 20]
    assert found.sources.tolist() == [USER_VECTOR] * 7 + [POPULAR] * 2 + [RECENT]


def test_without_a_vector_popular_items_fill_up(catalogue):
    found = retrieve(catalogue(), None, set(), MIX)
    assert found.items.tolist() == [50, 49, 20, 48, 47, 46, 45, 44, 43, 42]


def test_seen_items_are_passed_over(catalogue):
    found = retrieve(catalogue(), VECTOR, {1, 3, 50}, MIX)
    assert found.items.tolist() == [2, 4, 5, 6, 7, 8, 9, 49, 48, 20]


def test_a_catalogue_smaller_than_the_wish_gives_what_it_has(catalogue):
    small = catalogue(num_items=4, recent=[2])
    assert sorted(retrieve(small, VECTOR, {1}, MIX).items.tolist()) == [2, 3, 4]


@given(
    seen=st.sets(st.integers(1, 50)),
    count=st.integers(1, 60),
    popular=st.floats(0, 0.5),
    recent=st.floats(0, 0.5),
    with_vector=st.booleans(),
)
def test_candidates_are_distinct_unseen_and_as_many_as_can_be(
    catalogue, seen, count, popular, recent, with_vector
):
    mix = Mix(count=count, popular_share=popular, recent_share=recent)
    found = retrieve(catalogue(), VECTOR if with_vector else None, seen, mix)
    chosen = found.items.tolist()
    assert len(set(chosen)) == len(chosen) == min(count, 50 - len(seen))
    assert not set(chosen) & seen


@pytest.mark.parametrize("with_vector", [True, False])
def test_nothing_is_found_where_all_is_seen(catalogue, with_vector):
    vector = VECTOR if with_vector else None
    assert len(retrieve(catalogue(), vector, set(range(1, 51)), MIX)) == 0
