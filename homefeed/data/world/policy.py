"""The logging policy: an ordinary recommender that sees only what a log holds.

Each slot is drawn from a mixture of what is popular lately, what is popular in the categories that
the user liked before, and uniform exploration, without replacement within a request. The
propensity that is logged is exact: the probability of the item in its slot given the slots above.
"""

from dataclasses import dataclass

import numpy as np

from homefeed.clock import DAY_S
from homefeed.data.world.hashing import choice, uniform

DRAWS = 3  # candidates drawn for each slot, so that duplicates can be skipped


@dataclass(frozen=True, kw_only=True)
class PolicyWeights:
    """The mixture; sums to 1."""

    popular: float = 0.40
    affinity: float = 0.45
    explore: float = 0.15
    half_life_days: float = 5.0  # of an item's positive actions
    memory_days: float = 20.0  # half life of a user's categories


class LoggingPolicy:
    """State of the policy. U users, I items, C categories; indices from 0."""

    def __init__(self, users: int, category: np.ndarray, created_s: np.ndarray, seed: int) -> None:
        self.weights = PolicyWeights()
        self.seed = seed
        self.category, self.created_s = category, created_s
        categories = int(category.max()) + 1
        self.item_count = np.zeros(len(category))
        self.user_count = np.zeros((users, categories), np.float32)
        self._order = np.argsort(category, kind="stable")
        self._bounds = np.searchsorted(category[self._order], np.arange(categories + 1))

    def start_day(self, day_s: int) -> None:
        """Fix the day's popularity from the days before; items are known once created."""
        known = self.created_s < day_s
        age_days = np.maximum(day_s - self.created_s, 0) / DAY_S
        prior = 0.5 + 3.0 * np.exp(-age_days / 4)  # a new item is given a chance
        popular = known * (self.item_count + prior)
        self.popular = popular / popular.sum()
        self.explore = known / known.sum()
        self._cum_popular = np.cumsum(self.popular)
        self._cum_explore = np.cumsum(self.explore)
        in_order = self.popular[self._order]
        self._cum_ordered = np.r_[0.0, np.cumsum(in_order)]
        self.category_share = np.diff(self._cum_ordered[self._bounds])
        self.item_count *= 0.5 ** (1 / self.weights.half_life_days)
        self.user_count *= 0.5 ** (1 / self.weights.memory_days)

    def observe(self, user: np.ndarray, item: np.ndarray) -> None:
        """Count positive actions [A]; they matter from the next day on."""
        np.add.at(self.item_count, item, 1.0)
        np.add.at(self.user_count, (user, self.category[item]), 1.0)

    def preferences(self, user: np.ndarray) -> np.ndarray:
        """float64[B, C]: the categories that a user liked, smoothed by what everybody likes."""
        counts = self.user_count[user] + 2.0 * self.category_share
        counts = np.where(self.category_share > 0, counts, 0.0)
        return counts / counts.sum(axis=1, keepdims=True)

    def probability(self, user: np.ndarray, items: np.ndarray) -> np.ndarray:
        """float64[B, n]: probability of each item [B, n] as the first of a page of ``user`` [B]."""
        w = self.weights
        category = self.category[items]
        share = np.maximum(self.category_share[category], 1e-300)
        liked = np.take_along_axis(self.preferences(user), category, axis=1)
        return (
            w.popular * self.popular[items]
            + w.affinity * liked * self.popular[items] / share
            + w.explore * self.explore[items]
        )

    def show(
        self, user: np.ndarray, time_s: np.ndarray, length: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Items int64[B, n] (-1 beyond a list's end) and propensities float64[B, n].

        ``length`` int64[B] items are asked for; a list is shorter only where the draws held
        fewer different items.
        """
        n = int(length.max(initial=1))
        drawn = self._draw(user, time_s, DRAWS * n)
        sorted_, order = np.sort(drawn, axis=1), np.argsort(drawn, axis=1, kind="stable")
        again = np.zeros(drawn.shape, bool)
        repeated = np.zeros(drawn.shape, bool)
        repeated[:, 1:] = sorted_[:, 1:] == sorted_[:, :-1]
        np.put_along_axis(again, order, repeated, axis=1)
        slot = np.cumsum(~again, axis=1) - 1
        row, column = np.nonzero(~again & (slot < length[:, None]))
        items = np.full((len(user), n), -1, np.int64)
        items[row, slot[row, column]] = drawn[row, column]

        first = np.where(items >= 0, self.probability(user, items), 0.0)
        above = np.cumsum(first, axis=1) - first
        return items, np.where(items >= 0, first / (1 - above), 0.0)

    def _draw(self, user: np.ndarray, time_s: np.ndarray, m: int) -> np.ndarray:
        """int64[B, m]: independent draws from each user's mixture."""
        w = self.weights
        keys = (user[:, None], time_s[:, None], np.arange(m))
        which = uniform(self.seed, "policy-source", *keys)
        place = uniform(self.seed, "policy-item", *keys)
        drawn = np.empty(which.shape, np.int64)
        popular, explore = which < w.popular, which > w.popular + w.affinity
        for chosen, cumulative in (
            (popular, self._cum_popular),
            (explore, self._cum_explore),
        ):
            drawn[chosen] = np.searchsorted(cumulative, place[chosen] * cumulative[-1])
        affine = ~(popular | explore)
        drawn[affine] = self._draw_liked(user, time_s, affine, place[affine])
        return np.minimum(drawn, len(self.category) - 1)

    def _draw_liked(
        self, user: np.ndarray, time_s: np.ndarray, affine: np.ndarray, place: np.ndarray
    ) -> np.ndarray:
        """int64[A]: a draw from a liked category for each True of ``affine`` bool[B, m]."""
        row, column = np.nonzero(affine)
        draw = uniform(self.seed, "policy-category", user[row], time_s[row], column)
        cumulative = np.cumsum(self.preferences(user), axis=1)
        category = choice(cumulative[row], draw)
        low = self._cum_ordered[self._bounds[category]]
        high = self._cum_ordered[self._bounds[category + 1]]
        inside = np.searchsorted(self._cum_ordered, low + place * (high - low), side="left") - 1
        inside = np.clip(inside, self._bounds[category], self._bounds[category + 1] - 1)
        return self._order[inside]
