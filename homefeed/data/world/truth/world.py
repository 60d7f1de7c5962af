"""The world itself: who comes when, how they respond, and what to expect of them."""

from dataclasses import dataclass, fields

import numpy as np
from scipy.special import ndtri

from homefeed.clock import DAY_S
from homefeed.data.world.config import WorldConfig
from homefeed.data.world.hashing import choice, uniform
from homefeed.data.world.truth.items import make_items
from homefeed.data.world.truth.memory import Memory
from homefeed.data.world.truth.people import make_people
from homefeed.data.world.truth.response import (
    DURATION_SPREAD,
    LONG_S,
    Match,
    Tendencies,
    tendencies,
)
from homefeed.data.world.truth.sessions import Visits, make_visits

ACTION_TYPES = ("closeup", "click", "save", "hide")
CLOSEUP, CLICK, SAVE, HIDE = range(4)


@dataclass(frozen=True, kw_only=True)
class Responses:
    """Actions as arrays of one length A, in order of time within each row of the request."""

    row: np.ndarray  # int64[A], which request
    item: np.ndarray  # int64[A], item index
    position: np.ndarray  # int64[A], from 1
    action: np.ndarray  # int64[A], index in ACTION_TYPES
    time_s: np.ndarray  # int64[A]
    duration_s: np.ndarray  # float64[A], 0 for what takes no time
    positive: np.ndarray  # bool[A]

    def __len__(self) -> int:
        return len(self.row)

    def take(self, rows: np.ndarray) -> "Responses":
        """The actions of ``rows`` (indices or a mask)."""
        return Responses(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


class World:
    """The truth of one configuration. Users and items are indices from 0 here.

    Shapes: B requests, n items of a request, V visits, U users, I items, K topics.
    """

    def __init__(self, config: WorldConfig) -> None:
        self.config = config
        self.items = make_items(config)
        self.people = make_people(config, self.items.prevalence)
        self._organic: tuple[int, np.ndarray] | None = None

    def visits(self, day: int) -> Visits:
        """All visits of ``day`` (0 is the log's first, negative days are the warm-up)."""
        return make_visits(self.config, self.people, self.items.prevalence, day)

    def memory(self) -> Memory:
        """An empty memory for every user."""
        return Memory(self.config.users)

    def tendencies(
        self,
        user: np.ndarray,
        items: np.ndarray,
        positions: np.ndarray,
        time_s: np.ndarray,
        intent: np.ndarray,
        memory: Memory | None = None,
    ) -> Tendencies:
        """Response probabilities: user, time_s, intent [B]; items, positions [B, n]."""
        laws, people, every = self.config.laws, self.people, self.items
        interests = people.interests(user, time_s)  # [B, K]
        # Every interest counts nearly in full: the weights say how often, not how much.
        breadth = np.sqrt(interests / interests.max(axis=1, keepdims=True))
        related = every.related[items]  # [B, n, K]
        age_days = np.maximum(time_s[:, None] - every.created_s[items], 0) / DAY_S
        boredom = (
            memory.boredom(user, items, time_s, laws.boredom_days * DAY_S)
            if memory is not None
            else np.zeros(items.shape)
        )
        match = Match(
            interest=np.minimum(np.einsum("bnk,bk->bn", related, breadth), 1.0),
            intent=np.take_along_axis(related, intent[:, None, None], axis=2)[..., 0],
            taste=np.einsum("bns,bs->bn", every.style[items], people.style[user]),
            quality=every.quality[items],
            freshness=np.exp(-age_days / laws.freshness_days),
            boredom=boredom,
            eagerness=people.eagerness[user][:, None],
            saves=people.saves[user][:, None],
            clicks=people.clicks[user][:, None],
        )
        return tendencies(match, positions, laws)

    def respond(
        self,
        user: np.ndarray,
        items: np.ndarray,
        positions: np.ndarray,
        time_s: np.ndarray,
        intent: np.ndarray,
        dwell_s: np.ndarray,
        memory: Memory | None = None,
    ) -> Responses:
        """What users do with what they are shown: items [B, n] with -1 where a list is shorter.

        A draw hangs on the user, the item and the time of the request alone.
        """
        chance = self.tendencies(user, items, positions, time_s, intent, memory)
        key = (user[:, None], items, time_s[:, None])

        def draw(name: str) -> np.ndarray:
            return uniform(self.config.response_seed, name, *key)

        examined = (draw("examine") < chance.examine) & (items >= 0)
        opened = examined & (draw("open") < chance.open)
        happens = np.zeros((4, *items.shape), bool)
        happens[CLOSEUP] = opened
        happens[CLICK] = opened & (draw("click") < chance.click)
        happens[SAVE] = opened & (draw("save") < chance.save)
        happens[HIDE] = examined & ~opened & (draw("hide") < chance.hide)
        seconds = chance.median_s * np.exp(DURATION_SPREAD * ndtri(draw("duration")))
        seconds = np.floor(10 * np.clip(seconds, 1, 300)) / 10
        return self._timed(happens, items, positions, time_s, dwell_s, seconds)

    def _timed(
        self,
        happens: np.ndarray,
        items: np.ndarray,
        positions: np.ndarray,
        time_s: np.ndarray,
        dwell_s: np.ndarray,
        seconds: np.ndarray,
    ) -> Responses:
        """Spread the actions [4, B, n] over the time on the page; a save comes after a look."""
        row, column, action = np.nonzero(happens.transpose(1, 2, 0))
        position = positions[row, column]
        share = position / (1 + np.where(items >= 0, positions, 0).max(axis=1, initial=1)[row])
        begin = 1 + (0.75 * share * dwell_s[row]).astype(np.int64)
        # A look ends before the page does, so that all is known when the next page is asked for.
        # At least LONG_S remain of any dwell of 50 s, so this never turns a long look into a short.
        look = np.minimum(seconds[row, column], dwell_s[row] - begin - 1)
        wait = np.select([action == CLICK, action == SAVE], [0.5 * look, look], 0.0)
        duration = np.where(action == CLOSEUP, look, 0.0)
        positive = (action == CLICK) | (action == SAVE) | (duration >= LONG_S)
        out = Responses(
            row=row,
            item=items[row, column],
            position=position,
            action=action,
            time_s=time_s[row] + begin + np.ceil(wait).astype(np.int64),
            duration_s=duration,
            positive=positive,
        )
        return out.take(np.lexsort((out.action, out.position, out.time_s, out.row)))

    def expected(
        self,
        user: np.ndarray,
        items: np.ndarray,
        positions: np.ndarray,
        time_s: np.ndarray,
        intent: np.ndarray,
        memory: Memory | None = None,
    ) -> dict[str, np.ndarray]:
        """True probability of each label and of ``positive``, float64[B, n]."""
        return self.tendencies(user, items, positions, time_s, intent, memory).expected()

    def intent_shares(self, user: np.ndarray, time_s: np.ndarray) -> np.ndarray:
        """float64[B, K]: how often a session of ``user`` about ``time_s`` is about each topic."""
        laws = self.config.laws
        new = laws.elsewhere_share + laws.project_share * (1 - laws.project_own)
        interests = self.people.interests(user, time_s)
        return (1 - new) * interests + new * self.items.prevalence

    def organic_items(self, name: str, topic: np.ndarray, keys: tuple, n: int) -> np.ndarray:
        """int64[B, n]: what a search for (or a look around) ``topic`` [B] brings up.

        ``keys`` are arrays [B] that identify the draw, the last of them the time in seconds.
        A list never holds an item twice: later ones become -1.
        """
        table = self._organic_table(int(keys[-1].min() // DAY_S) if len(topic) else 0)
        draw = uniform(self.config.seed, name, *(key[:, None] for key in keys), np.arange(n))
        items = np.empty(draw.shape, np.int64)
        for one in np.unique(topic):
            rows = topic == one
            items[rows] = np.searchsorted(table[one], draw[rows] * table[one, -1])
        items = np.minimum(items, table.shape[1] - 1)
        repeated = np.tril(items[:, :, None] == items[:, None, :], -1).any(axis=2)
        return np.where(repeated, -1, items)

    def _organic_table(self, day: int) -> np.ndarray:
        """float64[K, I]: cumulative weight of the items of each topic on a day since 1970."""
        if self._organic is None or self._organic[0] != day:
            every, laws = self.items, self.config.laws
            known = every.created_s < day * DAY_S
            age_days = np.maximum(day * DAY_S - every.created_s, 0) / DAY_S
            weight = np.exp(1.2 * every.quality / laws.quality_scale)
            weight *= known * (0.3 + np.exp(-age_days / (3 * laws.freshness_days)))
            self._organic = day, np.cumsum(every.mixture.T**2 * weight, axis=1)
        return self._organic[1]

    def organic_weight(self, topic: int, day: int) -> np.ndarray:
        """float64[I]: probability of each item in one slot of a search for ``topic``."""
        weight = np.diff(self._organic_table(day)[topic], prepend=0.0)
        return weight / weight.sum()

    def related_topic(self, item: np.ndarray, draw: np.ndarray) -> np.ndarray:
        """int64[B]: a topic of each ``item``, by its mixture."""
        return choice(np.cumsum(self.items.mixture[item], axis=-1), draw)
