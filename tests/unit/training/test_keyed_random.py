import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from homefeed.training.keyed_random import (
    dropout_keys,
    keyed_bits,
    keyed_integers,
    keyed_permutation,
    keyed_uniform,
)

MASK = 2**64 - 1


def _reference(*keys: int) -> int:
    """splitmix64's finaliser over the chain of keys, on Python's integers."""
    state = 0
    for key in keys:
        x = ((state ^ (key & MASK)) + 0x9E3779B97F4A7C15) & MASK
        x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & MASK
        x = ((x ^ x >> 27) * 0x94D049BB133111EB) & MASK
        state = x ^ x >> 31
    return state


@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=4))
def test_bits_are_splitmix64_of_the_chain_of_keys(keys: list[int]) -> None:
    assert int(keyed_bits(*keys)) == _reference(*keys)


def test_a_number_depends_on_its_own_keys_only() -> None:
    users = np.array([5, 9, 3])
    together = keyed_uniform(1, 2, users)
    assert together[1] == keyed_uniform(1, 2, 9)
    assert together.tolist() == keyed_uniform(1, 2, users[::-1])[::-1].tolist()


def test_order_of_keys_and_each_key_matter() -> None:
    values = {int(keyed_bits(*k)) for k in [(1, 2), (2, 1), (1, 3), (1,), (1, 2, 0)]}
    assert len(values) == 5


def test_uniform_numbers_fill_the_unit_interval_evenly() -> None:
    values = keyed_uniform(7, np.arange(100_000))
    assert values.min() >= 0
    assert values.max() < 1
    counts = np.bincount((values * 50).astype(int), minlength=50)
    assert ((counts - 2000) ** 2 / 2000).sum() < 100  # chi square, 49 degrees of freedom


@given(st.integers(1, 1000), st.integers(0, 99))
def test_integers_stay_below_their_count(count: int, seed: int) -> None:
    values = keyed_integers(count, seed, np.arange(50))
    assert ((values >= 0) & (values < count)).all()


def test_a_permutation_holds_every_number_once_and_changes_with_its_keys() -> None:
    first, second = keyed_permutation(100, 1, 0), keyed_permutation(100, 1, 1)
    assert sorted(first) == list(range(100))
    assert first.tolist() != second.tolist()
    assert first.tolist() == keyed_permutation(100, 1, 0).tolist()


def test_dropout_keys_are_int32_and_differ_by_user_place_and_step() -> None:
    user, place = np.repeat(np.arange(50), 20), np.tile(np.arange(20), 50)
    keys = dropout_keys(0, 3, user, place)
    assert keys.dtype == np.int32
    assert len(np.unique(keys)) == 1000
    assert not (keys == dropout_keys(0, 4, user, place)).any()
