from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homefeed.errors import DatasetError
from homefeed.schema import ActionFlag
from homefeed.training.sampling import build_timelines, sample_positions, sample_users

DAY_S = 86_400
START_S = 1_600_000_000
BEFORE_S = START_S + 35 * DAY_S


def _plan(store, users, *, step=0, seed=0, before_s=BEFORE_S, window_days=7, length=8, count=5):
    timelines = build_timelines(store, users, before_s=before_s, window_days=window_days)
    picked = sample_users(timelines, seed=seed, step=step, batch_users=len(users))
    plan = sample_positions(
        timelines, picked, seed=seed, step=step, history_length=length, positions_per_user=count
    )
    return timelines, plan


def _future(store, row: int, user: int, before_s: int, window_s: int) -> list[int]:
    """The positives a position may predict, found by looking at every action of its user."""
    time, first = int(store.time_s[row]), store.start[user]
    return [
        int(store.item[r])
        for r in range(first, first + store.length[user])
        if store.flags[r] & ActionFlag.POSITIVE
        and not store.flags[r] & ActionFlag.TIME_UNKNOWN
        and time < store.time_s[r] <= min(time + window_s, before_s)
        and store.available_s(r) <= before_s
    ]


@given(st.integers(0, 200), st.integers(1, 30), st.integers(1, 12), st.integers(1, 9))
def test_every_target_is_a_positive_of_the_positions_own_window(
    random_store, seed: int, window_days: int, length: int, count: int
) -> None:
    store = random_store(num_users=12, seed=seed)
    users = np.arange(1, 13)
    timelines, plan = _plan(store, users, window_days=window_days, length=length, count=count)
    for owner, position, target in zip(plan.owner, plan.position, plan.target, strict=True):
        user, row = plan.user[owner], timelines.row[position]
        assert store.start[user] <= row < store.start[user] + store.length[user]
        assert plan.first[owner] <= position < plan.first[owner] + plan.length[owner]
        assert target in _future(store, row, user, BEFORE_S, window_days * DAY_S)
    assert set(plan.owner) == set(range(len(plan.user)))  # every user of a batch predicts
    assert (plan.length <= length).all()
    assert max(Counter(plan.owner).values()) <= count
    assert len(set(zip(plan.owner, plan.position, strict=True))) == len(plan.owner)
    newest = plan.first + plan.length - 1  # the user embedding itself always predicts
    assert {(o, p) for o, p in enumerate(newest)} <= set(
        zip(plan.owner, plan.position, strict=True)
    )


@given(st.integers(0, 200), st.integers(1, 30))
def test_the_users_with_something_to_predict_are_those_a_loop_finds(
    random_store, seed: int, window_days: int
) -> None:
    store = random_store(num_users=12, seed=seed, longest=4)
    expected = set()
    for user in range(1, 13):
        for row in range(store.start[user], store.start[user] + store.length[user]):
            known = store.available_s(row) <= BEFORE_S and store.time_s[row] <= BEFORE_S
            if known and _future(store, row, user, BEFORE_S, window_days * DAY_S):
                expected.add(user)
    if expected:
        timelines = build_timelines(
            store, np.arange(1, 13), before_s=BEFORE_S, window_days=window_days
        )
        assert set(timelines.user.tolist()) == expected


def _user(*days: float, **changes) -> list[dict]:
    return [
        {"item": n + 1, "time_s": START_S + round(day * DAY_S)} | changes
        for n, day in enumerate(days)
    ]


def test_targets_end_at_the_cutoff_and_at_the_window(store_of) -> None:
    store = store_of([_user(0, 1, 5, 9, 20)])
    seen = {
        target
        for step in range(40)
        for target in _plan(
            store, np.array([1]), step=step, before_s=START_S + 10 * DAY_S, window_days=6
        )[1].target
    }
    assert seen == {2, 3, 4}  # item 5 (day 20) is after the cut-off


def test_an_action_at_the_same_second_is_no_target(store_of) -> None:
    store = store_of([_user(0, 0, 3)])
    for step in range(20):
        plan = _plan(store, np.array([1]), step=step)[1]
        assert set(plan.target) == {3}


def test_a_late_arrival_is_neither_read_nor_predicted(store_of) -> None:
    actions = _user(0, 1, 2, 3)
    actions[2]["late_s"] = 100 * DAY_S
    store = store_of([actions])
    for step in range(30):
        timelines, plan = _plan(store, np.array([1]), step=step)
        assert 3 not in plan.target
        assert 2 not in timelines.row


def test_a_planted_future_action_changes_nothing(store_of) -> None:
    past, future = _user(0, 1, 2), _user(*[0] * 3, 36, 37)[3:]
    for step in range(10):
        without = _plan(store_of([past]), np.array([1]), step=step)[1]
        with_it = _plan(store_of([past + future]), np.array([1]), step=step)[1]
        for name in ("user", "first", "length", "owner", "position", "target"):
            assert (getattr(without, name) == getattr(with_it, name)).all()


def test_untimed_actions_and_dislikes_are_read_but_never_predicted(store_of) -> None:
    actions = _user(0, 1, 2, 3)
    actions[1]["flags"] = int(ActionFlag.NEGATIVE)
    actions[2]["flags"] = int(ActionFlag.POSITIVE | ActionFlag.TIME_UNKNOWN)
    store = store_of([actions])
    timelines, plan = _plan(store, np.array([1]))
    assert timelines.row.tolist() == [0, 1, 2, 3]
    assert set(plan.target) == {4}


def test_held_out_users_are_never_touched(random_store) -> None:
    store = random_store()
    timelines, plan = _plan(store, np.arange(1, 31, 2))
    assert set(plan.user) <= set(range(1, 31, 2))
    owner = np.searchsorted(store.start[1:], timelines.row, side="right")
    assert set(owner) <= set(range(1, 31, 2))


def test_an_epoch_visits_every_user_once(random_store) -> None:
    timelines = build_timelines(
        random_store(num_users=24), np.arange(1, 25), before_s=BEFORE_S, window_days=28
    )
    count = len(timelines.user)
    batch = count // 4
    epoch = [sample_users(timelines, seed=0, step=s, batch_users=batch) for s in range(4)]
    visited = np.concatenate(epoch)
    assert len(set(visited)) == len(visited) == 4 * batch
    again = sample_users(timelines, seed=0, step=count // batch, batch_users=batch)
    assert again.tolist() != epoch[0].tolist()


def test_a_users_plan_does_not_depend_on_the_rest_of_the_batch(random_store) -> None:
    store = random_store()
    timelines = build_timelines(store, np.arange(1, 31), before_s=BEFORE_S, window_days=28)
    settings = {"seed": 3, "step": 5, "history_length": 8, "positions_per_user": 4}
    everyone = np.arange(len(timelines.user))
    whole = sample_positions(timelines, everyone, **settings)
    for one in everyone:
        alone = sample_positions(timelines, np.array([one]), **settings)
        assert (alone.first[0], alone.length[0]) == (whole.first[one], whole.length[one])
        assert alone.position.tolist() == whole.position[whole.owner == one].tolist()
        assert alone.target.tolist() == whole.target[whole.owner == one].tolist()


def test_positions_and_targets_are_drawn_evenly(store_of) -> None:
    store = store_of([_user(0, 1, 2, 3, 4)])
    ends, targets = Counter(), Counter()
    for step in range(2000):
        timelines, plan = _plan(store, np.array([1]), step=step, count=1)
        row = timelines.row[plan.position[0]]
        ends[int(row)] += 1
        if row == 0:
            targets[int(plan.target[0])] += 1
    for counts, ways in ((ends, 4), (targets, 4)):
        total = sum(counts.values())
        assert len(counts) == ways
        chi_square = sum((c - total / ways) ** 2 / (total / ways) for c in counts.values())
        assert chi_square < 20  # 3 degrees of freedom: p < 2e-4 above


def test_known_items_are_those_anybody_acted_on_in_time(store_of) -> None:
    store = store_of([_user(0, 1), _user(2, 40)], num_items=6)
    store.item[:] = [1, 2, 3, 4]
    timelines = build_timelines(store, np.array([1]), before_s=BEFORE_S, window_days=7)
    assert np.flatnonzero(timelines.known_item).tolist() == [1, 2, 3]


def test_nothing_to_predict_is_refused_with_the_figures(store_of) -> None:
    store = store_of([_user(0), _user(36, 37)])
    with pytest.raises(DatasetError, match=r"1 actions of 2 users, 1 of them positive"):
        build_timelines(store, np.array([1, 2]), before_s=BEFORE_S, window_days=7)


def test_a_window_holds_its_own_last_second_and_nothing_after_it(store_of) -> None:
    assert set(_plan(store_of([_user(0, 7)]), np.array([1]), window_days=7)[1].target) == {2}
    with pytest.raises(DatasetError):
        _plan(store_of([_user(0, 7 + 1 / DAY_S)]), np.array([1]), window_days=7)


def test_an_item_whose_only_action_arrives_later_is_not_known(store_of) -> None:
    late = {"item": 9, "time_s": START_S, "late_s": 100 * DAY_S}
    timelines = build_timelines(
        store_of([_user(0, 1), [late]]), np.array([1]), before_s=BEFORE_S, window_days=7
    )
    assert np.flatnonzero(timelines.known_item).tolist() == [1, 2]
