"""What was available strictly before a request: vectorised answers against a naive loop."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homefeed.data.sequences import SequenceStore, build_sequences, lookup
from homefeed.data.sequences.layout import float16_up
from homefeed.errors import UnknownIdError

START_S = 1_700_000_000
ROW = st.fixed_dictionaries(
    {
        "user_id": st.integers(1, 3),
        "item_id": st.just("a"),
        "action_type": st.just("like"),
        "timestamp": st.integers(0, 60_000).map(lambda ms: START_S * 1000 + ms),
        "duration_s": st.one_of(st.none(), st.floats(0, 100, width=32)),
        "arrived_at": st.one_of(
            st.none(),
            st.integers(0, 600_000).map(lambda ms: START_S * 1000 + ms),
            st.just((START_S + 86_400 * 90) * 1000),  # beyond the lateness that fits: never
        ),
        "time_known": st.just(False),  # repeats stay
    }
)
PROPERTY = settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def naive_last_available(store: SequenceStore, user: int, before_s: int, count: int) -> list[int]:
    """Walk back from the newest action; keep those available strictly before the request."""
    found = []
    rows = store.rows(user)
    for position in reversed(range(rows.start, rows.stop)):
        available_s = store.available_s(slice(position, position + 1))[0]
        if available_s < before_s and len(found) < count:
            found.append(position)
    return found + [-1] * (count - len(found))


@PROPERTY
@given(
    rows=st.lists(ROW, min_size=1, max_size=30),
    requests=st.lists(st.tuples(st.integers(0, 3), st.integers(-5, 900)), min_size=1, max_size=20),
    count=st.integers(1, 8),
)
def test_last_available_equals_the_naive_loop_in_chunks_of_any_size(
    rows, requests, count, dataset_of, tmp_path
):
    store = build_sequences(dataset_of(rows), tmp_path / "store")
    users = np.array([min(user, store.meta.user_count) for user, _ in requests])
    before_s = np.array([START_S + offset for _, offset in requests])
    expected = [
        naive_last_available(store, u, b, count) for u, b in zip(users, before_s, strict=True)
    ]
    assert store.last_available(users, before_s, count).tolist() == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lookup, "CHUNK_REQUESTS", 3)
        patch.setattr(lookup, "CHUNK_ROWS", 4)
        assert store.last_available(users, before_s, count).tolist() == expected


@PROPERTY
@given(rows=st.lists(ROW, min_size=1, max_size=30), offset_ms=st.integers(0, 700_000))
def test_no_action_is_seen_before_it_ended_and_arrived(rows, offset_ms, dataset_of, tmp_path):
    for number, row in enumerate(rows):
        row["item_id"] = f"row {number}"
    store = build_sequences(dataset_of(rows), tmp_path / "store")
    request_ms = START_S * 1000 + offset_ms
    users = np.arange(1, store.meta.user_count + 1)
    found = store.last_available(users, np.full(len(users), request_ms // 1000), 30)
    for item in store.items.ids(store.item[found[found >= 0]]):
        row = rows[int(item.removeprefix("row "))]
        end_ms = row["timestamp"] + 1000 * (row["duration_s"] or 0.0)
        assert end_ms < request_ms
        assert (row["arrived_at"] or 0) < request_ms


def test_an_action_at_the_second_of_the_request_is_not_seen_and_one_second_later_it_is(
    dataset_of, tmp_path
):
    rows = [_row(0), _row(10), _row(20, duration_s=7.5), _row(40, arrived_s=100)]
    store = build_sequences(dataset_of(rows), tmp_path / "store")
    newest = {
        before: int(store.last_available(np.array([1]), np.array([START_S + before]), 1)[0, 0])
        for before in (0, 1, 10, 11, 28, 29, 99, 101, 161)
    }
    assert newest == {0: -1, 1: 0, 10: 0, 11: 1, 28: 1, 29: 2, 99: 2, 101: 3, 161: 3}


def test_the_order_of_available_actions_is_that_of_their_times_not_of_their_arrival(
    dataset_of, tmp_path
):
    rows = [_row(0), _row(10, arrived_s=40), _row(20)]
    store = build_sequences(dataset_of(rows), tmp_path / "store")
    early, later = np.array([START_S + 30]), np.array([START_S + 3600])
    assert store.last_available(np.array([1]), early, 3).tolist() == [[2, 0, -1]]
    assert store.last_available(np.array([1]), later, 3).tolist() == [[2, 1, 0]]


def test_a_planted_future_action_changes_no_answer(dataset_of, tmp_path):
    rows = [_row(second) for second in range(50)]
    plain = build_sequences(dataset_of(rows), tmp_path / "plain")
    planted = build_sequences(dataset_of([*rows, _row(30.5)]), tmp_path / "planted")
    users, before_s = np.ones(30, dtype=int), START_S + np.arange(1, 31)
    np.testing.assert_array_equal(
        plain.last_available(users, before_s, 10), planted.last_available(users, before_s, 10)
    )


def test_a_user_that_the_store_does_not_hold_is_an_error(dataset_of, tmp_path):
    store = build_sequences(dataset_of([_row(0)]), tmp_path / "store")
    with pytest.raises(UnknownIdError, match="user index 2"):
        store.last_available(np.array([1, 2]), np.array([START_S, START_S]), 3)
    with pytest.raises(UnknownIdError, match="user index -1"):
        store.rows(-1)


def test_no_requests_give_an_empty_answer(dataset_of, tmp_path):
    store = build_sequences(dataset_of([_row(0)]), tmp_path / "store")
    nobody = np.array([], dtype=np.int32)
    assert store.last_available(nobody, nobody, 5).shape == (0, 5)


def _row(second: float, duration_s: float | None = None, arrived_s: int | None = None) -> dict:
    return {
        "user_id": 1,
        "item_id": f"item at {second}",
        "action_type": "like",
        "timestamp": int((START_S + second) * 1000),
        "duration_s": duration_s,
        "arrived_at": None if arrived_s is None else (START_S + arrived_s) * 1000,
    }


@given(st.floats(0, 60_000, width=32))
def test_a_stored_duration_is_never_shorter_than_the_given_one(duration):
    assert float16_up(np.array([duration], np.float32))[0] >= np.float32(duration)
