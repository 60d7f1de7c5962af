import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from homefeed.evaluation import metrics

NAN = math.nan


def slow_rank(scores, num_index, row, column):
    """Count one by one what does not stand clearly below the target."""
    own = scores[row, column]
    return sum(1 for other in range(num_index) if other != column and not scores[row, other] < own)


@pytest.mark.parametrize(
    ("scores", "target", "rank"),
    [
        ([3.0, 2.0, 1.0], 0, 0),
        ([3.0, 2.0, 1.0], 2, 2),
        ([2.0, 2.0, 2.0], 1, 2),  # ties count against the model, the positive itself does not
        ([2.0, 2.0, 1.0], 0, 1),
        ([NAN, 2.0, 1.0], 1, 1),  # a broken score counts against the model
        ([3.0, NAN, 1.0], 1, 2),  # so does the target's own
    ],
)
def test_ranks_of_hand_computed_rows(scores, target, rank):
    found = metrics.pessimistic_ranks(
        np.array([scores]), len(scores), np.array([0]), np.array([target])
    )
    assert found.tolist() == [rank]


def test_a_positive_outside_the_index_is_compared_with_the_whole_index():
    scores = np.array([[5.0, 4.0, 3.0, 4.0]])  # the last column is not in the index
    found = metrics.pessimistic_ranks(scores, 3, np.array([0]), np.array([3]))
    assert found.tolist() == [2]  # 5 and the tie with 4


coarse = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0, NAN])


@given(
    hnp.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(2, 9)), elements=coarse),
    st.data(),
)
def test_ranks_equal_counting_one_by_one(scores, data):
    num_index = data.draw(st.integers(1, scores.shape[1]))
    cells = st.tuples(st.integers(0, len(scores) - 1), st.integers(0, scores.shape[1] - 1))
    targets = np.array(data.draw(st.lists(cells, min_size=1, max_size=60)))
    found = metrics.pessimistic_ranks(scores, num_index, targets[:, 0], targets[:, 1])
    assert found.tolist() == [slow_rank(scores, num_index, r, c) for r, c in targets]


@given(hnp.arrays(np.int64, st.integers(1, 30), elements=st.integers(0, 20)))
def test_recall_grows_with_depth_and_stays_in_the_unit_interval(ranks):
    user_row = np.arange(len(ranks)) % 3
    last = np.zeros(3)
    for depth in range(22):
        recall = metrics.recall_by_user(ranks, user_row, 3, depth)
        present = ~np.isnan(recall)
        assert ((recall[present] >= last[present]) & (recall[present] <= 1)).all()
        last = np.where(present, recall, last)
    assert (recall[present] == 1).all()


def test_recall_is_a_share_per_user_and_missing_for_users_without_positives():
    recall = metrics.recall_by_user(np.array([0, 9, 10, 3]), np.array([0, 0, 0, 2]), 3, 10)
    assert recall[0] == pytest.approx(2 / 3)
    assert math.isnan(recall[1])
    assert recall[2] == 1


def test_percentile_rank_is_the_share_of_rivals_ahead():
    percentile = metrics.percentile_by_user(np.array([0, 5]), np.array([0, 0]), 1, 10)
    assert percentile.tolist() == [0.25]


def test_items_that_leave_the_index_no_longer_stand_before_the_target():
    # Scores 9 and 5 and 4 leave; the target scores 5 and had three before it: 9, 7, and a tie.
    ranks = metrics.ranks_without(
        np.array([3]),
        np.array([5.0]),
        np.array([9.0, 5.0, 4.0]),
        owner=np.array([[False, False, False]]),
    )
    assert ranks.tolist() == [1]


def test_a_target_that_leaves_was_never_counted_so_nothing_is_taken_off():
    ranks = metrics.ranks_without(
        np.array([2]), np.array([5.0]), np.array([5.0]), owner=np.array([[True]])
    )
    assert ranks.tolist() == [2]


@given(
    hnp.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 12)), elements=coarse),
    st.integers(1, 14),
)
def test_top_columns_equal_a_sort_by_score_then_column(scores, depth):
    found = metrics.top_columns(scores, depth)
    for row, top in zip(scores, found, strict=True):
        key = [(-value if value == value else math.inf, c) for c, value in enumerate(row)]
        assert top.tolist() == [c for _, c in sorted(key)][:depth]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([10, 0, 0, 0], 0.25),
        ([5, 5, 0, 0], 0.5),
        ([9, 1, 0, 0], 0.25),  # nine of ten are 90 % already
        ([1, 1, 1, 1, 1, 1, 1, 1, 1, 1], 0.9),
        ([0, 0, 0, 0], 0.0),
    ],
)
def test_coverage_of_hand_computed_counts(counts, expected):
    assert metrics.coverage(np.array(counts)) == pytest.approx(expected)


@given(hnp.arrays(np.int64, st.integers(1, 40), elements=st.integers(0, 1000)))
def test_coverage_lies_in_the_unit_interval_and_ignores_the_order_of_items(counts):
    found = metrics.coverage(counts)
    assert 0 <= found <= 1
    assert found == metrics.coverage(counts[::-1])


def test_entropy_of_hand_computed_lists():
    topics = np.array([[1, 1, 1, 1], [1, 2, 1, 2], [1, 2, 3, 4], [7, 7, 7, 9]])
    expected = [0.0, math.log(2), math.log(4), -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))]
    assert metrics.interest_entropy(topics) == pytest.approx(expected)


@given(hnp.arrays(np.int64, st.tuples(st.just(1), st.integers(1, 20)), elements=st.integers(0, 4)))
def test_entropy_equals_the_textbook_sum(topics):
    shares = np.unique(topics, return_counts=True)[1] / topics.size
    expected = -sum(share * math.log(share) for share in shares)
    assert metrics.interest_entropy(topics)[0] == pytest.approx(expected, abs=1e-12)


@given(
    hnp.arrays(np.float32, st.integers(2, 9), elements=coarse),
    st.lists(st.integers(0, 1), min_size=metrics.SORT_FROM_TARGETS + 1, max_size=30),
)
def test_a_row_with_many_targets_is_ranked_as_one_with_few(row, columns):
    found = metrics.pessimistic_ranks(
        row[None], len(row), np.zeros(len(columns), int), np.array(columns)
    )
    assert found.tolist() == [slow_rank(row[None], len(row), 0, c) for c in columns]
