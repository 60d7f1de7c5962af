from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homefeed.training.count_min_sketch import CountMinSketch, width_for


@given(st.lists(st.integers(0, 2**40), max_size=200))
def test_an_estimate_is_never_below_the_true_count(keys: list[int]) -> None:
    sketch = CountMinSketch(width=16)
    sketch.add(np.array(keys, dtype=np.int64))
    true = Counter(keys)
    distinct = np.array(list(true), dtype=np.int64)
    assert (sketch.count(distinct) >= np.array(list(true.values()))).all()
    assert sketch.total == len(keys)


def test_estimates_are_exact_where_the_sketch_is_wide() -> None:
    keys = np.random.default_rng(0).zipf(1.3, 5000).clip(max=10**9)
    sketch = CountMinSketch(width=1 << 16, depth=3)
    for part in np.array_split(keys, 7):
        sketch.add(part)
    distinct, counts = np.unique(keys, return_counts=True)
    assert (sketch.count(distinct) == counts).mean() > 0.999


def test_estimates_keep_the_bound_of_the_paper() -> None:
    keys = np.random.default_rng(0).integers(0, 10_000, 50_000)
    sketch = CountMinSketch(width=1024, depth=4)
    sketch.add(keys)
    distinct, counts = np.unique(keys, return_counts=True)
    excess = sketch.count(distinct) - counts
    assert (excess > np.e / 1024 * len(keys)).mean() < np.exp(-4)


def test_unseen_keys_count_nothing_in_a_wide_sketch() -> None:
    sketch = CountMinSketch(width=1 << 16)
    sketch.add(np.arange(10))
    assert sketch.count(np.array([10_000, 10_001])).tolist() == [0, 0]


def test_the_width_must_be_a_power_of_two() -> None:
    with pytest.raises(ValueError, match="1000"):
        CountMinSketch(width=1000)


@pytest.mark.parametrize(
    ("keys", "width"),
    [
        (0, 1 << 20),
        (1 << 19, 1 << 20),
        ((1 << 19) + 1, 1 << 21),
        (200_000 * 25, 1 << 24),
        (10**9, 1 << 26),
    ],
)
def test_the_width_follows_the_number_of_keys_within_limits(keys: int, width: int) -> None:
    assert width_for(keys) == width


def test_a_sketch_sized_for_a_large_log_counts_most_of_its_keys_exactly() -> None:
    keys = np.random.default_rng(0).zipf(1.1, 4_000_000).clip(max=10**15)
    distinct, counts = np.unique(keys, return_counts=True)
    assert len(distinct) > 1 << 20  # more than the least width has counters
    sketch = CountMinSketch(width_for(len(distinct)))
    sketch.add(keys)
    excess = sketch.count(distinct) - counts
    assert (excess > 0).mean() < 0.155  # (1 - e^-1/2)^2
    assert (excess > np.e / sketch.counts.shape[1] * len(keys)).mean() < np.exp(-2)
