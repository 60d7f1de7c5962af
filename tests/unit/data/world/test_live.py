import numpy as np
import pytest

from homefeed.data.world.live import SimulatedUsers
from homefeed.data.world.observed import item_id
from homefeed.errors import UnknownIdError


def page(visit, shift: int = 0) -> list[str]:
    """Some page for a visit: a stand-in for an arm."""
    return [item_id((visit.user_id * 7 + visit.page * 40 + shift + k) % 500) for k in range(20)]


def day_of(users: SimulatedUsers, day: int, shift=lambda visit: 0) -> list:
    return [(v, users.respond(v, page(v, shift(v)))) for v in users.visits(day)]


def test_a_day_can_be_lived_again_exactly(world, dataset, config):
    first = day_of(SimulatedUsers(world, dataset), config.days)
    again = day_of(SimulatedUsers.of(config, dataset), config.days)
    assert [a for _, a in first] == [a for _, a in again]
    assert sum(len(a) for _, a in first) > 20


def test_visits_come_in_order_of_time_and_no_arm_changes_them(world, config):
    kept = day_of(SimulatedUsers(world), config.days)
    other = day_of(SimulatedUsers(world), config.days, shift=lambda visit: 123)

    def plan(days):
        return [(v.user_id, v.time_s, v.page, v.last, v.length, v.session_id) for v, _ in days]

    assert plan(kept) == plan(other)
    times = [v.time_s for v, _ in kept]
    assert times == sorted(times)


def test_a_share_of_the_users_comes_day_after_day_and_nobody_else(world, dataset, config):
    came, all_of_them = set(), set()
    for day in range(config.days, config.days + 8):
        come = {v.user_id for v in SimulatedUsers(world, dataset).visits(day, share=0.3)}
        everybody = {v.user_id for v in SimulatedUsers(world, dataset).visits(day)}
        assert come <= everybody
        assert not (everybody - come) & came, "who came once comes whenever they visit"
        came, all_of_them = came | come, all_of_them | everybody
    assert 0.1 < len(came) / len(all_of_them) < 0.5


def test_answering_in_batches_is_answering_one_by_one(world, dataset, config):
    one_by_one = dict(
        ((v.user_id, v.time_s), (v.earlier, actions))
        for v, actions in day_of(SimulatedUsers(world, dataset), config.days)
    )
    users, batched = SimulatedUsers(world, dataset), {}
    for batch in users.rounds(config.days):
        assert len({v.user_id for v in batch}) == len(batch)
        for v in batch:
            batched[v.user_id, v.time_s] = v.earlier, users.respond(v, page(v))
    assert batched == one_by_one


def test_what_one_user_is_shown_changes_nothing_for_the_others(world, config):
    base = day_of(SimulatedUsers(world), config.days)
    someone = base[0][0].user_id
    moved = day_of(
        SimulatedUsers(world), config.days, shift=lambda v: 200 if v.user_id == someone else 0
    )
    for (visit, before), (_, after) in zip(base, moved, strict=True):
        if visit.user_id != someone:
            assert before == after


def test_everything_a_user_did_is_over_before_the_next_visit(world, dataset, config):
    done_s: dict[int, int] = {}
    users = SimulatedUsers(world, dataset)
    pages = 0
    for day in range(config.days, config.days + 4):
        for visit in users.visits(day):
            assert done_s.get(visit.user_id, 0) < visit.time_s
            assert all(a.available_s < visit.time_s for a in visit.earlier)
            actions = users.respond(visit, page(visit))
            assert all(a.timestamp_s > visit.time_s for a in actions)
            times = [a.timestamp_s for a in actions]
            assert times == sorted(times)
            done_s[visit.user_id] = max((a.available_s for a in actions), default=0)
            pages += visit.page > 0
    assert pages > 20


def test_the_log_makes_what_was_shown_boring(world, dataset, config):
    shown = dataset.scan("impressions").sort("timestamp").collect()
    fresh, used = SimulatedUsers(world), SimulatedUsers(world, dataset)
    compared = 0
    for visit in fresh.visits(config.days):
        mine = shown.filter(shown["user_id"] == visit.user_id)["item_id"].to_list()[-20:]
        if mine:
            before, after = fresh.expected(visit, mine), used.expected(visit, mine)
            assert (after["closeup"] < before["closeup"]).all()
            compared += 1
        if compared == 10:
            return
    assert compared


def test_searches_find_only_what_the_platform_has(world, config):
    users = SimulatedUsers(world)
    late = SimulatedUsers(world)
    late.catalogue_s = 2**40
    found = {}
    for name, one in (("users", users), ("late", late)):
        items = set()
        for day in range(config.days + 8, config.days + 14):
            for visit in one.visits(day):
                acts = [*visit.earlier, *one.respond(visit, page(visit))]
                items |= {a.item_id for a in acts if a.surface != "home"}
        found[name] = items
    newest = item_id(config.items)
    assert all(item < newest for item in found["users"])
    assert any(item >= newest for item in found["late"])


@pytest.mark.parametrize("wrong", ["pin-999999", "shoe", "pin-"])
def test_an_item_that_the_world_does_not_hold_is_named(world, config, wrong):
    users = SimulatedUsers(world)
    visit = next(users.visits(config.days))
    with pytest.raises(UnknownIdError, match=f"no item '{wrong}'.*pin-000000"):
        users.respond(visit, [item_id(1), wrong])


def test_an_empty_page_gets_no_response(world, config):
    users = SimulatedUsers(world)
    assert users.respond(next(users.visits(config.days)), []) == []


def test_expected_values_are_those_of_the_responses(world, config):
    users = SimulatedUsers(world)
    expected = opened = 0.0
    for day in range(config.days, config.days + 6):
        for visit in users.visits(day):
            expected += float(np.sum(users.expected(visit, page(visit))["closeup"]))
            actions = users.respond(visit, page(visit))
            opened += sum(a.action_type == "closeup" and a.surface == "home" for a in actions)
    assert abs(opened - expected) < 4.5 * np.sqrt(expected)
