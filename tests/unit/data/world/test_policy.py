import numpy as np
import pytest

from homefeed.data.world.policy import LoggingPolicy

USERS, ITEMS = 3, 30


@pytest.fixture
def policy() -> LoggingPolicy:
    """A policy with some counts; the last three items do not exist yet."""
    category = np.arange(ITEMS) % 4
    created_s = np.where(np.arange(ITEMS) < 27, 0, 10**9)
    policy = LoggingPolicy(USERS, category, created_s, seed=5)
    rng = np.random.default_rng(0)
    policy.observe(rng.integers(0, 2, 200), rng.integers(0, 20, 200) ** 2 // 20)
    policy.start_day(86_400 * 30)
    return policy


def test_probabilities_sum_to_one_over_the_known_items(policy):
    user = np.arange(USERS)
    chance = policy.probability(user, np.broadcast_to(np.arange(ITEMS), (USERS, ITEMS)))
    np.testing.assert_allclose(chance.sum(axis=1), 1, rtol=1e-12)
    assert (chance[:, :27] > 0).all()
    assert (chance[:, 27:] == 0).all()


def test_what_is_shown_first_has_the_frequency_of_its_propensity(policy):
    n = 30_000
    user = np.zeros(n, np.int64)
    items, propensity = policy.show(user, np.arange(n), np.full(n, 5))
    chance = policy.probability(user[:1], np.arange(ITEMS)[None])[0]
    frequency = np.bincount(items[:, 0], minlength=ITEMS) / n
    assert (abs(frequency - chance) < 5 * np.sqrt(chance / n) + 1e-9).all()
    np.testing.assert_allclose(propensity[:, 0], chance[items[:, 0]])


def test_later_slots_have_their_propensity_given_the_slots_above(policy):
    n = 30_000
    user = np.zeros(n, np.int64)
    items, propensity = policy.show(user, np.arange(n), np.full(n, 5))
    chance = policy.probability(user[:1], np.arange(ITEMS)[None])[0]
    for row in range(20):  # slow reference
        left = 1.0
        for item, p in zip(items[row], propensity[row], strict=True):
            assert p == pytest.approx(chance[item] / left)
            left -= chance[item]
    top = np.argmax(chance)
    after_top = items[items[:, 0] == top, 1]
    expected = chance / (1 - chance[top]) * (np.arange(ITEMS) != top)
    frequency = np.bincount(after_top, minlength=ITEMS) / len(after_top)
    assert (abs(frequency - expected) < 5 * np.sqrt(expected / len(after_top)) + 1e-9).all()


def test_a_page_has_no_item_twice_and_the_length_that_was_asked_for(policy):
    length = np.array([3, 7, 10])
    items, propensity = policy.show(np.arange(USERS), np.full(USERS, 77), length)
    for row in range(USERS):
        shown = items[row][items[row] >= 0]
        assert len(shown) == len(set(shown)) == length[row]
        assert (items[row, length[row] :] == -1).all()
        assert (propensity[row, length[row] :] == 0).all()
        assert ((propensity[row, : length[row]] > 0) & (propensity[row] <= 1).all()).all()


def test_a_page_does_not_depend_on_who_else_asks(policy):
    together, _ = policy.show(np.arange(USERS), np.full(USERS, 77), np.full(USERS, 6))
    for user in range(USERS):
        alone, _ = policy.show(np.array([user]), np.array([77]), np.array([6]))
        np.testing.assert_array_equal(alone[0], together[user])


def test_actions_matter_from_the_next_day_on(policy):
    user, grid = np.array([2]), np.arange(ITEMS)[None]
    before = policy.probability(user, grid)
    policy.observe(np.full(50, 2), np.full(50, 25))
    policy.start_day(86_400 * 31)
    after = policy.probability(user, grid)
    assert after[0, 25] > 2 * before[0, 25]
