import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homefeed.training.negatives import (
    NegativePool,
    SampleProbabilities,
    draw_pool,
    own_positives,
)
from homefeed.training.sampling import SampledUsers, Timelines

CORPUS = np.arange(1, 51)


def _plan(owner: list[int], target: list[int]) -> SampledUsers:
    users = max(owner) + 1
    return SampledUsers(
        user=np.arange(users) + 100,
        first=np.zeros(users, dtype=np.int64),
        length=np.ones(users, dtype=np.int64),
        owner=np.array(owner),
        position=np.arange(len(owner)),
        target=np.array(target),
    )


def _pool(plan: SampledUsers, *, num_uniform=20, max_in_batch=5000, step=0, seen=None):
    probabilities = seen or SampleProbabilities(1 << 12)
    probabilities.update(plan.user[plan.owner], plan.target)
    return draw_pool(
        plan,
        probabilities,
        CORPUS,
        num_uniform=num_uniform,
        max_in_batch=max_in_batch,
        seed=0,
        step=step,
    )


def test_a_positives_correction_is_its_share_of_its_users_positives() -> None:
    plan = _plan([0, 0, 0, 0, 1], [7, 7, 7, 9, 7])
    probabilities = SampleProbabilities(1 << 12)
    probabilities.update(plan.user[plan.owner], plan.target)
    found = probabilities.log_conditional(plan.user[plan.owner], plan.target)
    np.testing.assert_allclose(found, np.log([3 / 4, 3 / 4, 3 / 4, 1 / 4, 1]))


def test_a_negatives_correction_is_its_share_of_all_positives_times_the_pool() -> None:
    plan = _plan([0, 1, 2, 3], [7, 7, 7, 9])
    pool = _pool(plan, num_uniform=0)
    # Item 7: three of four positives, three times in a pool of four: 3 / (4 · 3/4) = 1.
    assert pool.item.tolist() == [7, 9]
    np.testing.assert_allclose(pool.log_weight, [0, 0], atol=1e-6)


def test_uniform_negatives_are_corrected_by_one_constant_however_popular() -> None:
    seen = SampleProbabilities(1 << 12)
    popular = np.repeat(CORPUS, CORPUS)  # item 50 was a positive 50 times, item 1 once
    seen.update(popular + 100, popular)
    pool = _pool(_plan([0], [1]), num_uniform=20, max_in_batch=0, seen=seen)
    draws = np.exp(pool.log_weight) * 20 / 50  # times an item was drawn
    np.testing.assert_allclose(draws, np.round(draws), atol=1e-5)
    assert draws.sum() == pytest.approx(20)


def test_a_catalogue_smaller_than_the_wanted_number_is_taken_whole_and_once() -> None:
    pool = _pool(_plan([0], [1]), num_uniform=50, max_in_batch=0)
    assert pool.item.tolist() == CORPUS.tolist()
    np.testing.assert_allclose(pool.log_weight, 0, atol=1e-7)


def test_the_corrected_pool_estimates_the_sum_over_the_catalogue_without_bias() -> None:
    """Both parts of the pool estimate the softmax's denominator: together twice the sum."""
    rng = np.random.default_rng(0)
    score = np.exp(rng.normal(size=51))
    popularity = rng.dirichlet(np.ones(50))
    seen, estimates = SampleProbabilities(1 << 14), []
    warm = rng.choice(CORPUS, 20_000, p=popularity)
    seen.update(warm, warm)
    for step in range(300):
        plan = _plan(list(range(64)), rng.choice(CORPUS, 64, p=popularity).tolist())
        pool = _pool(plan, num_uniform=30, step=step, seen=seen)
        estimates.append((score[pool.item] * np.exp(pool.log_weight)).sum())
    expected, error = 2 * score[1:].sum(), np.std(estimates) / np.sqrt(300)
    assert abs(np.mean(estimates) - expected) < 4 * error
    assert error < 0.02 * expected


def test_more_positives_than_the_cap_are_thinned_evenly() -> None:
    plan = _plan(list(range(40)), list(range(1, 41)))
    kept = [_pool(plan, num_uniform=0, max_in_batch=10, step=s).item for s in range(400)]
    assert all(len(items) == 10 for items in kept)
    counts = np.bincount(np.concatenate(kept), minlength=41)[1:]
    assert ((counts - 100) ** 2 / 100).sum() < 85  # chi square, 39 degrees of freedom


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 12)), min_size=1, max_size=30))
def test_every_positive_of_the_rows_own_user_is_masked_and_nothing_else(pairs) -> None:
    pairs = sorted(pairs)
    plan = _plan([o for o, _ in pairs], [t for _, t in pairs])
    pool = NegativePool(item=np.arange(1, 13, 2), log_weight=np.zeros(6))
    expected = [
        (position, column)
        for position, (owner, _) in enumerate(pairs)
        for column, item in enumerate(pool.item)
        if (owner, item) in set(pairs)
    ]
    position, column = own_positives(plan, pool)
    assert list(zip(position.tolist(), column.tolist(), strict=True)) == expected


def test_the_sketches_go_on_from_their_state() -> None:
    first, second = SampleProbabilities(64), SampleProbabilities(64)
    user, item = np.array([1, 1, 2]), np.array([5, 6, 5])
    first.update(user, item)
    second.restore(first.state())
    for sketch in (first, second):
        sketch.update(user, item)
    assert first.marginal(item).tolist() == second.marginal(item).tolist()
    assert first.log_conditional(user, item).tolist() == second.log_conditional(user, item).tolist()


@pytest.mark.parametrize(
    ("positives", "samples", "width"),
    [
        (500_000, 10**9, 1 << 20),  # 24,288 users more fill it to the half
        (3_000_000, 500_000, 1 << 20),  # of a large log, a short fit sees little
        (3_000_000, 10**9, 1 << 23),
    ],
)
def test_the_pairs_sketch_follows_what_the_fit_can_count(
    positives: int, samples: int, width: int
) -> None:
    none = np.empty(0, np.int64)
    timelines = Timelines(
        user=np.arange(1, 24_289),
        **dict.fromkeys(("row", "start", "valid", "valid_row", "valid_start", "key"), none),
        positive_key=np.zeros(positives, np.int64),
        positive_item=np.zeros(positives, np.int64),
        known_item=np.ones(1_000_000, bool),
        before_s=0,
        window_s=1,
    )
    probabilities = SampleProbabilities.sized(timelines, samples)
    assert probabilities.pairs.counts.shape == (2, width)
    assert probabilities.items.counts.shape == (2, 1 << 21)
