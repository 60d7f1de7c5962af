import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homefeed.clock import DAY_S
from homefeed.data.world.truth import ACTION_TYPES, Memory, World


def ask(world: World, user, items, memory=None, *, day=10, intent=0, seconds=0):
    """Responses of users [B] to items [B, n] as sets of (user, item, type, duration)."""
    user, items = np.asarray(user), np.asarray(items)
    time_s = world.config.start_s + day * DAY_S + np.full(len(user), seconds)
    positions = np.broadcast_to(np.arange(1, items.shape[1] + 1), items.shape)
    found = world.respond(
        user, items, positions, time_s, np.full(len(user), intent), np.full(len(user), 90), memory
    )
    rows = zip(user[found.row], found.item, found.action, found.duration_s, strict=True)
    return sorted((int(u), int(i), ACTION_TYPES[a], float(d)) for u, i, a, d in rows)


@given(st.permutations(list(range(8))), st.integers(0, 10**6))
def test_responses_do_not_depend_on_the_order_in_which_users_ask(world, order, seconds):
    user = np.arange(8)
    items = (user[:, None] * 7 + np.arange(12)) % world.config.items
    together = ask(world, user, items, seconds=seconds)
    assert ask(world, user[order], items[order], seconds=seconds) == together
    alone = [a for u in user for a in ask(world, [u], items[[u]], seconds=seconds)]
    assert sorted(alone) == together


def test_an_item_gets_the_same_response_whatever_is_shown_around_it(world):
    """Two arms that show an item in the same place to the same user see the same."""
    user = np.arange(world.config.users)
    one = (user[:, None] + np.arange(10) * 31) % world.config.items
    other = (user[:, None] * 3 + np.arange(10) * 17 + 5) % world.config.items
    other[:, 4] = one[:, 4]
    shared = {(int(u), int(i)) for u, i in zip(user, one[:, 4], strict=True)}
    # An item may also stand elsewhere in one of the lists: leave those users out.
    twice = {
        int(u) for u in user if (one[u] == one[u, 4]).sum() + (other[u] == one[u, 4]).sum() > 2
    }
    pick = lambda rows: [r[:3] for r in rows if (r[0], r[1]) in shared and r[0] not in twice]  # noqa: E731
    first, second = pick(ask(world, user, one)), pick(ask(world, user, other))
    assert first == second
    assert len(first) > 10


def test_frequencies_are_the_expected_ones(world):
    user = np.repeat(np.arange(world.config.users), 40)
    items = np.tile(np.arange(10) * 11, (len(user), 1))
    positions = np.broadcast_to(np.arange(1, 11), items.shape)
    time_s = world.config.start_s + 10 * DAY_S + np.arange(len(user))
    intent = np.arange(len(user)) % world.config.laws.topics
    key = (user, items, positions, time_s, intent)
    expected = world.expected(*key)
    found = world.respond(*key, np.full(len(user), 90))
    n = items.size
    for number, name in enumerate(ACTION_TYPES):
        count = (found.action == number).sum()
        assert abs(count - expected[name].sum()) < 4.5 * np.sqrt(n * expected[name].mean())
    pairs = np.unique(np.stack([found.row, found.item])[:, found.positive], axis=1).shape[1]
    assert abs(pairs - expected["positive"].sum()) < 4.5 * np.sqrt(pairs)


def test_lower_positions_are_examined_less(world):
    items = np.tile(np.arange(20)[None] * 0 + 5, (50, 1))
    positions = np.broadcast_to(np.arange(1, 21), items.shape)
    time_s = np.full(50, world.config.start_s + DAY_S)
    chance = world.expected(np.arange(50), items, positions, time_s, np.zeros(50, np.int64))
    for name in ACTION_TYPES:
        assert (np.diff(chance[name], axis=1) < 0).all()
    examination = world.config.laws.examination
    np.testing.assert_allclose(
        chance["save"][:, 10] / chance["save"][:, 0], 1 / (1 + 10 * examination)
    )


def test_what_was_seen_is_boring_for_a_while(world):
    user, items = np.array([3]), np.arange(30)[None]
    memory = world.memory()
    start_s = world.config.start_s
    chance = []
    for day in (0, 1, 30, 300):
        time_s = np.array([start_s + day * DAY_S])
        first = np.ones_like(items)
        chance.append(world.expected(user, items, first, time_s, np.zeros(1, int), memory)["save"])
        if day == 0:
            memory.see(user, items, time_s)
            memory_less = chance[0]
    assert (chance[1] < 0.5 * memory_less).all()
    fresh = world.expected(
        user, items, first, np.array([start_s + 300 * DAY_S]), np.zeros(1, int), None
    )["save"]
    np.testing.assert_allclose(chance[3], fresh, rtol=1e-3)


def test_the_sessions_intent_matters_much(world):
    topic = int(np.bincount(world.items.topic).argmax())
    items = np.flatnonzero(world.items.topic == topic)[:10][None]
    time_s = np.array([world.config.start_s])
    first = np.ones_like(items)
    other = (topic + world.config.laws.topics // 2) % world.config.laws.topics
    about = world.expected(np.array([1]), items, first, time_s, np.array([topic]))["positive"]
    not_about = world.expected(np.array([1]), items, first, time_s, np.array([other]))["positive"]
    assert about.mean() > 2 * not_about.mean()


def test_interests_are_several_and_drift_slowly(world):
    people, config = world.people, world.config
    user = np.arange(config.users)

    def at(day: float) -> np.ndarray:
        return people.interests(user, np.full(len(user), config.start_s + int(day * DAY_S)))

    np.testing.assert_allclose(at(7.3).sum(axis=1), 1, rtol=1e-5)
    count = (at(0) > 0.05).sum(axis=1)
    assert 2 <= np.median(count) <= 6
    kept = [np.minimum(at(0), at(day)).sum(axis=1).mean() for day in (0, 5, 20, 40)]
    assert kept == sorted(kept, reverse=True)
    assert kept[1] > 0.9
    assert 0.5 < kept[3] < 0.95


def test_visits_are_in_order_and_sessions_of_a_user_lie_apart(world):
    visits = world.visits(6)
    assert (np.diff(visits.time_s) >= 0).all()
    day_s = world.config.start_s + 6 * DAY_S
    assert visits.time_s.min() >= day_s
    assert (visits.time_s + visits.dwell_s).max() <= day_s + DAY_S
    for user in np.unique(visits.user):
        mine = visits.take(visits.user == user)
        assert mine.order.tolist() == list(range(len(mine)))
        gap = mine.time_s[1:] - (mine.time_s + mine.dwell_s)[:-1]
        same = mine.session[1:] == mine.session[:-1]
        assert (gap[same] == 0).all()
        assert (gap[~same] >= 130).all()  # room for a search and a revisit


def test_memory_recollects_what_it_would_have_seen():
    rng = np.random.default_rng(1)
    seen, recalled = Memory(4), Memory(4)
    user, item = rng.integers(0, 4, 900), rng.integers(0, 50, 900)
    for step in range(900):
        seen.see(user[step : step + 1], item[step : step + 1, None], np.array([step]))
    recalled.recollect(user, item, np.arange(900))
    np.testing.assert_array_equal(seen.seen, recalled.seen)
    np.testing.assert_array_equal(seen.seen_s, recalled.seen_s)
    seen.see(np.arange(4), np.full((4, 1), 77), np.full(4, 1000))
    recalled.see(np.arange(4), np.full((4, 1), 77), np.full(4, 1000))
    np.testing.assert_array_equal(seen.seen, recalled.seen)


@pytest.mark.parametrize("likes", [0, 1, 5, 300])
def test_memory_recalls_only_what_was_liked(likes):
    memory = Memory(2)
    memory.like(np.zeros(likes, np.int64), np.arange(likes))
    drawn = memory.recall(np.zeros(50, np.int64), np.linspace(0.001, 0.999, 50))
    assert set(drawn.tolist()) <= (set(range(likes)) or {-1})
    assert memory.recall(np.array([1]), np.array([0.5])).tolist() == [-1]
