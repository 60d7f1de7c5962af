"""Thinned rows: bounded, unbiased, and whole where lists must stay whole."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homefeed.data.ranking_rows import EVALUATION, TRAIN, RankingRows
from homefeed.data.thinned_rows import POSITIVE_SHARE, Thinning, thinned, thinning


def _rows(requests: int, per_request: int, positive: float, seed: int = 0) -> RankingRows:
    generator, count = np.random.default_rng(seed), requests * per_request
    user = generator.integers(1, max(2, requests // 4), requests).astype(np.int32)
    return RankingRows(
        user=user,
        viewer=user,
        time_ms=np.arange(requests),
        surface=np.zeros(requests, np.uint8),
        split=np.repeat([TRAIN, EVALUATION], [requests // 2, requests - requests // 2]).astype(
            np.uint8
        ),
        request=np.repeat(np.arange(requests, dtype=np.int32), per_request),
        item=np.arange(count, dtype=np.int32),
        position=np.tile(np.arange(1, per_request + 1, dtype=np.int32), requests),
        labels=(generator.random((count, 2)) < positive).astype(np.uint8),
        weight=np.ones(count, np.float32),
        heads=("like", "save"),
    )


def _of(rows: RankingRows, split: int) -> np.ndarray:
    return rows.split[rows.request] == split


def test_dropped_negatives_are_stood_for_by_weights():
    rows = _rows(4_000, 5, 0.05)
    kept = thinned(rows, Thinning(negatives=0.25), seed=1)
    assert kept.labels[_of(kept, TRAIN)].sum() == rows.labels[_of(rows, TRAIN)].sum()
    assert _of(kept, EVALUATION).sum() == _of(rows, EVALUATION).sum()
    assert kept.weight[_of(kept, TRAIN)].sum() == pytest.approx(_of(rows, TRAIN).sum(), rel=0.05)
    assert _of(kept, TRAIN).sum() < 0.4 * _of(rows, TRAIN).sum()


def test_the_bounds_hold_and_negatives_go_before_positives():
    rows = _rows(8_000, 10, 0.03)
    shares = thinning(rows, max_training_rows=4_000, max_evaluation_rows=10_000)
    kept = thinned(rows, shares, seed=2)
    training = _of(kept, TRAIN)
    assert training.sum() == pytest.approx(4_000, rel=0.1)
    assert _of(kept, EVALUATION).sum() == pytest.approx(10_000, rel=0.1)
    assert kept.labels[training].any(1).mean() == pytest.approx(POSITIVE_SHARE, abs=0.05)


def test_a_log_with_many_positives_loses_requests_and_no_negatives():
    rows = _rows(4_000, 5, 0.4)
    shares = thinning(rows, max_training_rows=5_000, max_evaluation_rows=None)
    assert shares == Thinning(requests=0.5)


def test_a_log_below_the_bounds_stays_as_it_is():
    rows = _rows(100, 5, 0.1)
    shares = thinning(rows, max_training_rows=1_000, max_evaluation_rows=1_000)
    assert thinned(rows, shares, seed=3) is rows


@given(
    requests=st.integers(2, 60),
    shares=st.builds(
        Thinning,
        requests=st.floats(0.1, 1),
        negatives=st.floats(0.1, 1),
        users=st.floats(0.1, 1),
    ),
    seed=st.integers(0, 5),
)
def test_every_row_that_stays_is_unchanged_and_an_evaluated_users_list_is_whole(
    requests, shares, seed
):
    rows = _rows(requests, 3, 0.3, seed)
    kept = thinned(rows, shares, seed)
    at = kept.item  # items number the rows
    before = rows.request[at]
    assert (np.diff(kept.request, prepend=0) <= 1).all()
    for name in ("user", "time_ms", "split"):
        assert (getattr(kept, name)[kept.request] == getattr(rows, name)[before]).all()
    assert (kept.labels == rows.labels[at]).all()
    assert (kept.position == rows.position[at]).all()
    assert len(np.unique(kept.request)) == len(kept.user)
    judged = _of(rows, EVALUATION)
    user = rows.user[rows.request]
    for one in np.unique(user[at[_of(kept, EVALUATION)]]):
        assert np.isin(np.flatnonzero(judged & (user == one)), at).all()


def test_users_without_an_index_are_many_people_and_not_drawn_as_one():
    rows = _rows(4_000, 5, 0.1)
    unknown = replace(rows, user=np.zeros_like(rows.user))
    kept = thinned(unknown, Thinning(users=0.3), seed=4)
    share = _of(kept, EVALUATION).sum() / _of(rows, EVALUATION).sum()
    assert share == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize("seed", range(8))
def test_of_a_few_users_with_many_rows_each_at_least_one_stays(seed):
    rows = replace(_rows(40, 5, 0.5), user=np.repeat([1, 2], 20).astype(np.int32))
    kept = thinned(rows, Thinning(users=0.01), seed)
    assert _of(kept, EVALUATION).any()
