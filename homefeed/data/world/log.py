"""Lets the people live with the logging policy, and writes down what a log would hold.

Vectorised over users: one step answers every user's r-th visit of the day at once.
"""

from dataclasses import dataclass, field

import numpy as np

from homefeed.clock import DAY_S
from homefeed.data.world.hashing import uniform
from homefeed.data.world.observed import filed_category
from homefeed.data.world.policy import LoggingPolicy
from homefeed.data.world.session import after_page, before_page
from homefeed.data.world.truth import Responses, Visits, World
from homefeed.progress import Progress

SHORTEST, LONGEST = 10, 25  # items on a page of the feed
SURFACES = ("home", "search", "related")


@dataclass
class LogColumns:
    """What was logged, in pieces: concatenated by ``joined``."""

    actions: list[dict[str, np.ndarray]] = field(default_factory=list)
    impressions: list[dict[str, np.ndarray]] = field(default_factory=list)

    def joined(self, table: str) -> dict[str, np.ndarray]:
        """One array per column of ``actions`` or ``impressions``."""
        pieces = getattr(self, table)
        return {name: np.concatenate([p[name] for p in pieces]) for name in pieces[0]}


class Simulation:
    """The people, their memories, and the policy that serves them, day after day."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.memory = world.memory()
        config = world.config
        self.policy = LoggingPolicy(
            config.users, filed_category(world), world.items.created_s, config.log_seed
        )

    def run(self, from_day: int, to_day: int) -> LogColumns:
        """Simulate the days ``from_day`` <= d < ``to_day`` and return what was logged."""
        log = LogColumns()
        progress = Progress("world: days", to_day - from_day)
        for day in range(from_day, to_day):
            self._day(day, log)
            progress.advance()
        progress.close()
        return log

    def _day(self, day: int, log: LogColumns) -> None:
        config = self.world.config
        self.policy.start_day(config.start_s + day * DAY_S)
        visits = self.world.visits(day)
        for number in range(int(visits.order.max(initial=-1)) + 1):
            self._step(visits.take(visits.order == number), log)

    def _step(self, visits: Visits, log: LogColumns) -> None:
        """One visit each of different users."""
        world, config = self.world, self.world.config
        for surface, found, user in before_page(world, visits, self.memory):
            self._note_actions(log, surface, found, user, np.zeros(len(found), bool), visits)

        draw = uniform(config.log_seed, "page-length", visits.user, visits.time_s)
        length = SHORTEST + (draw * (LONGEST - SHORTEST + 1)).astype(np.int64)
        items, propensity = self.policy.show(visits.user, visits.time_s, length)
        positions = np.broadcast_to(np.arange(1, items.shape[1] + 1), items.shape)
        found = world.respond(
            visits.user, items, positions, visits.time_s, visits.intent, visits.dwell_s, self.memory
        )
        self.memory.see(visits.user, items, visits.time_s)
        self._note_impressions(log, visits, items, propensity, found)
        on_feed = np.ones(len(found), bool)
        self._note_actions(log, "home", found, visits.user[found.row], on_feed, visits)
        for surface, more, user in after_page(world, visits, found, self.memory):
            self._note_actions(log, surface, more, user, np.zeros(len(more), bool), visits)

    def _note_impressions(
        self,
        log: LogColumns,
        visits: Visits,
        items: np.ndarray,
        propensity: np.ndarray,
        found: Responses,
    ) -> None:
        labels = np.zeros((4, *items.shape), np.uint8)
        labels[found.action, found.row, found.position - 1] = 1
        row, column = np.nonzero(items >= 0)
        log.impressions.append(
            {
                "user": visits.user[row],
                "time_s": visits.time_s[row],
                "item": items[row, column],
                "position": column + 1,
                "propensity": propensity[row, column],
                "labels": labels[:, row, column].T,
            }
        )

    def _note_actions(
        self,
        log: LogColumns,
        surface: str,
        found: Responses,
        user: np.ndarray,
        on_feed: np.ndarray,
        visits: Visits,
    ) -> None:
        liked = found.positive
        self.policy.observe(user[liked], found.item[liked])
        self.memory.like(user[liked], found.item[liked])
        request_s = np.where(on_feed, visits.time_s[found.row], -1) if len(found) else found.row
        log.actions.append(
            {
                "user": user,
                "item": found.item,
                "action": found.action,
                "time_s": found.time_s,
                "duration_s": found.duration_s,
                "surface": np.full(len(found), SURFACES.index(surface)),
                "request_s": request_s,
                "position": found.position,
            }
        )
