"""P90 coverage of all top lists, with its interval over users."""

import numpy as np
import pytest

from homefeed.evaluation import bootstrap, coverage
from homefeed.evaluation.coverage import coverage_of_lists
from homefeed.evaluation.metrics import coverage as coverage_of_counts

USERS, INDEX, QUERIES = 40, 30, 90


@pytest.fixture
def lists() -> tuple[np.ndarray, np.ndarray]:
    """Top lists of four items, popular ones more often; some users ask several times."""
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, INDEX + 1)
    top = [rng.choice(INDEX, 4, replace=False, p=share / share.sum()) for _ in range(QUERIES)]
    return np.array(top, np.int32), np.sort(rng.integers(USERS, size=QUERIES))


def test_coverage_and_its_interval_equal_counting_list_by_list(lists) -> None:
    top, row = lists
    found = coverage_of_lists(top, row, USERS, INDEX, samples=50, seed=3)
    assert found.mean == coverage_of_counts(np.bincount(top.ravel(), minlength=INDEX))
    generator, drawn = np.random.default_rng(3), []
    for _ in range(50):
        counts = np.zeros(INDEX)
        for user in generator.integers(USERS, size=USERS):
            for query in np.flatnonzero(row == user):
                counts[top[query]] += 1
        drawn.append(coverage_of_counts(counts))
    spread = np.quantile(drawn, [0.025, 0.975]) - np.mean(drawn)
    assert (found.low, found.high) == pytest.approx(tuple(found.mean + spread))
    assert found.low < found.mean < found.high
    assert found.users == USERS


def test_the_interval_does_not_depend_on_how_many_draws_are_held_at_once(
    lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = coverage_of_lists(*lists, USERS, INDEX, samples=50)
    for module in (bootstrap, coverage):
        monkeypatch.setattr(module, "CHUNK_DRAWS", 100)
    assert coverage_of_lists(*lists, USERS, INDEX, samples=50) == together


def test_lists_that_are_all_alike_have_no_spread() -> None:
    top = np.tile(np.arange(4, dtype=np.int32), (10, 1))
    found = coverage_of_lists(top, np.arange(10), 10, 20)
    assert (found.mean, found.low, found.high) == pytest.approx((4 / 20, 4 / 20, 4 / 20))


def test_an_interval_holds_its_estimate_where_few_draws_differ() -> None:
    top = np.zeros((100, 1), np.int32)
    top[:5, 0] = np.arange(1, 6)  # a draw needs a second item only where it holds 11 of these
    found = coverage_of_lists(top, np.arange(100), 100, 20)
    assert found.low <= found.mean <= found.high


def test_without_users_there_is_no_interval() -> None:
    found = coverage_of_lists(np.empty((0, 4), np.int32), np.empty(0, np.int64), 0, 20)
    assert (found.mean, found.users) == (0.0, 0)
    assert np.isnan(found.low)
