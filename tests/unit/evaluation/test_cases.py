import numpy as np
import pytest

from homefeed.data.items import NO_TIME, ItemTable
from homefeed.errors import ConfigError, DatasetError
from homefeed.evaluation.cases import build_cases
from homefeed.evaluation.refresh import queries_for

DAY_S = 86_400
T0_S = 1_600_000_000  # the cutoff of these tests


def everybody(store):
    return np.arange(1, store.meta.user_count + 1)


def cases_of(store, days=3, **more):
    return build_cases(store, cutoff_s=T0_S, horizon_s=days * DAY_S, users=everybody(store), **more)


def described(cases, store):
    """(user, item, seconds after the cutoff) of each target, external ids."""
    users = store.users.ids(cases.users[cases.target_row])
    items = store.items.ids(cases.target_item)
    return sorted(zip(users, items, (cases.target_time_s - T0_S).tolist(), strict=True))


@pytest.fixture
def log(make_store):
    return make_store(
        [
            (1, 10, "like", T0_S - 500),
            (1, 11, "view", T0_S),  # at the cutoff: history
            (1, 10, "like", T0_S + 1),  # a repeat
            (1, 12, "like", T0_S + 50),
            (1, 12, "like", T0_S + 60),  # the same positive again
            (1, 13, "view", T0_S + 70),  # no positive
            (1, 14, "hate", T0_S + 80),  # no positive
            (1, 15, "like", T0_S + 3 * DAY_S),  # the window's last second
            (1, 16, "like", T0_S + 3 * DAY_S + 1),  # after it
            (2, 10, "like", T0_S + 10),  # nobody before the cutoff
            (3, 11, "like", T0_S - 10),  # no positive in the window
            (4, 14, "view", T0_S - 9),
            (4, 11, "like", T0_S + 5),
        ]
    )


def test_targets_are_the_distinct_positives_of_the_window(log):
    found = described(cases_of(log), log)
    assert found == [(1, 10, 1), (1, 12, 50), (1, 15, 3 * DAY_S), (4, 11, 5)]


def test_users_without_history_are_left_out_and_counted(log):
    cases = cases_of(log)
    assert log.users.ids(cases.users) == [1, 4]
    assert cases.users_without_history == 1


def test_repeats_and_known_items_are_told_apart(log):
    cases = cases_of(log)
    items = np.array(log.items.ids(cases.target_item))
    assert items[cases.repeat].tolist() == [10]
    assert sorted(items[cases.known].tolist()) == [10, 11]  # 11: known to others, new to user 4
    assert sorted(items[cases.view("new_known")].tolist()) == [11]


def test_an_item_created_before_the_cutoff_is_known_without_any_action(log):
    created = np.full(log.meta.item_count + 1, NO_TIME)
    created[log.items.index(12)] = T0_S
    created[log.items.index(15)] = T0_S + 1
    table = ItemTable(created, np.zeros(len(created), int), ("",))
    cases = cases_of(log, item_table=table)
    items = np.array(log.items.ids(cases.target_item))
    assert sorted(items[cases.known].tolist()) == [10, 11, 12]


def test_an_action_that_arrived_after_the_cutoff_was_not_there_at_it(make_store):
    late = T0_S + 600
    log = make_store(
        [
            (1, 10, "like", T0_S - 50),
            (1, 11, "like", T0_S - 40, late),
            (1, 11, "like", T0_S + 50),  # no repeat: nobody knew of the first one
            (2, 12, "like", T0_S - 30, late),
            (2, 10, "like", T0_S + 60),  # nothing was known of this user
        ]
    )
    cases = cases_of(log)
    assert described(cases, log) == [(1, 11, 50)]
    assert (cases.repeat.tolist(), cases.known.tolist()) == ([False], [False])
    assert cases.users_without_history == 1
    acted = dict(zip(log.items.ids(cases.acted_item), cases.acted_first_s - T0_S, strict=True))
    assert acted == {10: -50, 11: 50}  # the second action on 11 was there before the first


def test_the_order_in_which_users_are_given_changes_nothing(log):
    forward = cases_of(log)
    backward = build_cases(log, cutoff_s=T0_S, horizon_s=3 * DAY_S, users=everybody(log)[::-1])
    assert described(forward, log) == described(backward, log)


def test_users_read_in_chunks_give_the_same_cases(log):
    whole = described(cases_of(log), log)
    assert described(cases_of(log, chunk_users=1), log) == whole


def test_a_window_without_positives_is_refused_with_what_was_looked_for(log):
    with pytest.raises(DatasetError, match="none of the 4 users"):
        build_cases(log, cutoff_s=T0_S + 10 * DAY_S, horizon_s=DAY_S, users=everybody(log))


def test_once_asks_each_user_at_the_cutoff(log):
    cases = cases_of(log)
    queries = queries_for("once", cases)
    assert queries.before_s.tolist() == [T0_S + 1, T0_S + 1]  # the cutoff's second counts
    assert queries.row[queries.target_query].tolist() == cases.target_row.tolist()


def test_daily_lags_a_full_day(log):
    cases = cases_of(log)
    queries = queries_for("daily", cases)
    before = queries.before_s[queries.target_query] - T0_S - 1
    first_day, last_day = -DAY_S, DAY_S  # x - 1 day for x = the cutoff and two days on
    expected = np.where(cases.target_time_s == T0_S + 3 * DAY_S, last_day, first_day)
    assert before.tolist() == expected.tolist()
    lag = cases.target_time_s - (queries.before_s[queries.target_query] - 1)
    assert (lag > DAY_S).all()
    assert (lag <= 2 * DAY_S).all()


def test_realtime_asks_right_before_each_positive(log):
    cases = cases_of(log)
    queries = queries_for("realtime", cases)
    assert queries.before_s[queries.target_query].tolist() == cases.target_time_s.tolist()
    assert queries.row[queries.target_query].tolist() == cases.target_row.tolist()


def test_an_unknown_mode_is_refused(log):
    with pytest.raises(ConfigError, match="hourly"):
        queries_for("hourly", cases_of(log))


def test_a_positive_at_the_cutoffs_own_second_is_history_and_no_target(make_store):
    log = make_store([(1, 10, "like", T0_S), (1, 11, "like", T0_S + 1)])
    assert described(cases_of(log), log) == [(1, 11, 1)]


def test_an_action_that_arrives_between_cutoff_and_target_makes_no_repeat(make_store):
    log = make_store(
        [
            (1, 10, "like", T0_S - 500),
            (1, 11, "like", T0_S - 40, T0_S + 20),
            (1, 11, "like", T0_S + 500),
        ]
    )
    cases = cases_of(log)
    assert described(cases, log) == [(1, 11, 500)]
    assert cases.repeat.tolist() == [False]
