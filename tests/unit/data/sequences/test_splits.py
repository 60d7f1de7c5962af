import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homefeed.data.sequences import build_sequences
from homefeed.data.splits import (
    DAY_S,
    Timeline,
    held_out_ids,
    held_out_users,
    timeline_for,
)
from homefeed.errors import ConfigError, DatasetError

START_S = 1_700_000_000


@pytest.fixture
def store_over(dataset_of, tmp_path):
    """A store of two users whose actions span the given number of days."""

    def make(days: float):
        rows = [
            {"user_id": n, "item_id": "a", "action_type": "like", "timestamp": int(time_s * 1000)}
            for n, time_s in enumerate((START_S, START_S + days * DAY_S - 1))
        ]
        return build_sequences(dataset_of(rows), tmp_path / "store")

    return make


@given(st.integers(-(10**6), 10**6))
def test_every_time_belongs_to_one_part_only(time_s):
    line = Timeline(t0_s=0, t1_s=100, t2_s=200)
    parts = [bool(part(time_s)) for part in (line.encoder, line.ranker, line.evaluation)]
    assert sum(parts) == (time_s <= 200)


def test_boundaries_belong_to_the_earlier_part():
    line = Timeline(t0_s=0, t1_s=100, t2_s=200)
    times = np.array([0, 1, 100, 101, 200, 201])
    assert line.encoder(times).tolist() == [True, False, False, False, False, False]
    assert line.ranker(times).tolist() == [False, True, True, False, False, False]
    assert line.evaluation(times).tolist() == [False, False, False, True, True, False]


def test_a_timeline_that_does_not_go_forward_is_refused():
    with pytest.raises(ConfigError, match="t0 < t1 < t2"):
        Timeline(t0_s=0, t1_s=0, t2_s=5)


@pytest.mark.parametrize(
    ("days", "encoder", "ranker", "evaluation"), [(14, 8, 3, 3), (365, 351, 7, 7), (28, 16, 6, 6)]
)
def test_defaults_cut_common_spans_into_whole_days(days, encoder, ranker, evaluation, store_over):
    line = timeline_for(store_over(days))
    assert round((line.t0_s - START_S) / DAY_S, 2) == encoder
    assert (line.t1_s - line.t0_s) / DAY_S == ranker
    assert (line.t2_s - line.t1_s) / DAY_S == evaluation


def test_given_days_are_kept_and_the_end_can_be_earlier(store_over):
    store = store_over(30)
    until_s = START_S + 20 * DAY_S
    line = timeline_for(store, evaluation_days=4, ranker_days=2, until_s=until_s)
    assert line.t2_s == until_s
    assert line.t1_s == until_s - 4 * DAY_S
    assert line.t0_s == until_s - 6 * DAY_S


def test_one_day_of_data_is_refused_with_what_to_do(store_over):
    with pytest.raises(DatasetError, match=r"spans 1\.00 days.*longer log"):
        timeline_for(store_over(1))


def test_days_that_leave_nothing_for_the_encoders_are_refused(store_over):
    store = store_over(14)
    with pytest.raises(DatasetError, match="leave less than 1"):
        timeline_for(store, evaluation_days=7, ranker_days=7)
    with pytest.raises(ConfigError, match="must be above 0"):
        timeline_for(store, evaluation_days=0)


def test_a_log_that_begins_at_second_0_is_split_as_any_other(dataset_of, tmp_path):
    row = {"user_id": 1, "item_id": "a", "action_type": "like"}
    rows = [{**row, "timestamp": time_s * 1000} for time_s in (0, 20 * DAY_S - 1)]
    line = timeline_for(build_sequences(dataset_of(rows), tmp_path / "store"))
    assert (line.t2_s, line.t1_s - line.t0_s) == (20 * DAY_S - 1, 4 * DAY_S)


def test_a_log_whose_times_are_unknown_cannot_be_split_in_time(dataset_of, tmp_path):
    row = {"user_id": 1, "item_id": "a", "action_type": "like", "timestamp": START_S * 1000}
    store = build_sequences(dataset_of([{**row, "time_known": False}]), tmp_path / "store")
    with pytest.raises(DatasetError, match="no action of this log has a known time"):
        timeline_for(store)


def test_held_out_users_are_stable_by_id_and_close_to_their_share(dataset_of, tmp_path):
    rows = [
        {"user_id": n, "item_id": "a", "action_type": "like", "timestamp": START_S * 1000}
        for n in range(4000)
    ]
    store = build_sequences(dataset_of(rows), tmp_path / "store")
    reverse = build_sequences(dataset_of(rows[::-1]), tmp_path / "reverse")
    users = np.arange(1, 4001)
    held_out = held_out_users(users, 0.3, "s", store=store)
    assert 0.27 < held_out.mean() < 0.33
    by_id = dict(zip(store.users.ids(users), held_out.tolist(), strict=True))
    again = held_out_users(users, 0.3, "s", store=reverse).tolist()
    assert by_id == dict(zip(reverse.users.ids(users), again, strict=True))
    assert held_out_ids(["i:17"], 0.3, "s")[0] == by_id[17]
    other = held_out_users(users, 0.3, "another salt", store=store)
    assert 0.06 < (held_out & other).mean() < 0.12  # independent: about 0.09


def test_a_larger_share_holds_out_the_same_users_and_more():
    ids = [f"i:{n}" for n in range(1000)]
    assert not (held_out_ids(ids, 0.2, "s") & ~held_out_ids(ids, 0.5, "s")).any()


@pytest.mark.parametrize("share", [-0.1, 1.0, 30])
def test_a_share_outside_zero_to_one_is_refused(share):
    with pytest.raises(ConfigError, match="share"):
        held_out_ids(["i:1"], share, "s")
