"""Simulated users for a live server: they come, they look at what they are given, they act.

    users = SimulatedUsers.of(config, dataset)
    for visit in users.visits(day):
        post(visit.earlier)                          # searches and revisits before this page
        served = feed(visit.user_id, visit.surface, visit.time_s, k=visit.length)
        post(users.respond(visit, served))

Who comes when, with what in mind and for how many pages, no arm can change; how they respond hangs
on the user, the item, the time and what they have seen before. An arm is never mentioned here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from homefeed import schema
from homefeed.data.contract import Dataset
from homefeed.data.world.config import WorldConfig
from homefeed.data.world.hashing import uniform
from homefeed.data.world.log import LONGEST, SHORTEST
from homefeed.data.world.observed import FIRST_USER, PREFIX, item_id, item_indices
from homefeed.data.world.session import Found, after_page, before_page
from homefeed.data.world.truth import ACTION_TYPES, LONG_S, Memory, Responses, Visits, World

HOME = "home"


@dataclass(frozen=True, kw_only=True)
class Action:
    """What a user did, as a client posts it. ``request_id`` is for the client to add."""

    event_id: str
    user_id: int
    item_id: str
    action_type: str
    timestamp_s: int
    duration_s: float
    surface: str
    position: int | None  # on the served page; None beside the feed

    @property
    def available_s(self) -> int:
        """When it is over and can be posted, seconds."""
        return self.timestamp_s + int(np.ceil(self.duration_s))


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One request for a page of the feed."""

    user_id: int
    time_s: int
    surface: str
    page: int  # from 0 within the session
    last: bool  # the session ends with this page
    length: int  # items asked for
    session_id: str
    earlier: tuple[Action, ...]  # what the user did just before, beside the feed
    row: Visits = field(repr=False)  # the truth about the visit: not for the server


class SimulatedUsers:
    """The world's users with their memories, to be asked in order of time."""

    def __init__(self, world: World, seen: Dataset | None = None) -> None:
        """``seen`` is the log before the first live day: what users remember of it.

        Set ``catalogue_s`` forward when the platform takes in newer items: until then searches
        and looks at related items do not find them.
        """
        self.world = world
        self.catalogue_s = world.config.end_s
        self.memory = world.memory()
        if seen is not None:
            _remember(self.memory, seen)

    @classmethod
    def of(cls, config: WorldConfig, seen: Dataset | None = None) -> "SimulatedUsers":
        """The users of the world of ``config``: callers need not import the truth."""
        return cls(World(config), seen)

    def visits(self, day: int, share: float = 1.0) -> Iterator[Visit]:
        """All requests of ``day`` (``config.days`` is the first after the log), in order of time.

        With ``share`` below 1 only those of that share of the users, the same ones every day.
        Each must be answered by ``respond`` before the same user's next one is drawn.
        """
        table = self._visitors(day, share)
        for number in range(len(table)):
            yield self._visit(table.take(slice(number, number + 1)), day)

    def rounds(self, day: int, share: float = 1.0) -> Iterator[list[Visit]]:
        """The same requests in batches: every user's first of the day, then every second one, ….

        The users of a batch are all different, so a batch may be answered together; times run
        forward for each user, not between users. Answer all of a batch before the next is drawn.
        """
        table = self._visitors(day, share)
        for number in range(int(table.order.max(initial=-1)) + 1):
            rows = np.flatnonzero(table.order == number)
            yield [self._visit(table.take(slice(r, r + 1)), day) for r in rows.tolist()]

    def _visitors(self, day: int, share: float) -> Visits:
        table = self.world.visits(day)
        return table.take(uniform(self.world.config.log_seed, "visitor", table.user) < share)

    def _visit(self, row: Visits, day: int) -> Visit:
        user, time_s = int(row.user[0]), int(row.time_s[0])
        earlier: list[Action] = []
        for found in before_page(self.world, row, self.memory):
            earlier += self._note(found)
        draw = float(uniform(self.world.config.log_seed, "page-length", user, time_s))
        return Visit(
            user_id=user + FIRST_USER,
            time_s=time_s,
            surface=HOME,
            page=int(row.page[0]),
            last=bool(row.last[0]),
            length=SHORTEST + int(draw * (LONGEST - SHORTEST + 1)),
            session_id=f"{user + FIRST_USER}-{day}-{int(row.session[0])}",
            earlier=tuple(sorted(earlier, key=_by_time)),
            row=row,
        )

    def respond(self, visit: Visit, served: Sequence[str]) -> list[Action]:
        """What the user does with the ``served`` item ids, best first, in order of time.

        Raises UnknownIdError for an item that the world does not hold.
        """
        items = item_indices(served, self.world.config.all_items)[None, :]
        row, world = visit.row, self.world
        positions = np.arange(1, items.shape[1] + 1)[None, :]
        found = world.respond(
            row.user, items, positions, row.time_s, row.intent, row.dwell_s, self.memory
        )
        self.memory.see(row.user, items, row.time_s)
        actions = self._note((HOME, found, row.user[found.row]))
        for more in after_page(world, row, found, self.memory):
            actions += self._note(more)
        return sorted(actions, key=_by_time)

    def expected(self, visit: Visit, served: Sequence[str]) -> dict[str, np.ndarray]:
        """The truth: probability of each label (and ``positive``) for each served item, now.

        Ask before ``respond``: afterwards the user has seen the items.
        """
        items = item_indices(served, self.world.config.all_items)[None, :]
        row, positions = visit.row, np.arange(1, items.shape[1] + 1)[None, :]
        found = self.world.expected(row.user, items, positions, row.time_s, row.intent, self.memory)
        return {label: value[0] for label, value in found.items()}

    def _note(self, found: Found) -> list[Action]:
        """Remember what was liked, and turn responses into actions."""
        surface, responses, user = found
        on_platform = self.world.items.created_s[responses.item] < self.catalogue_s
        responses, user = responses.take(on_platform), user[on_platform]
        liked = responses.positive
        self.memory.like(user[liked], responses.item[liked])
        return [_action(surface, responses, int(user[a]), a) for a in range(len(responses))]


def _action(surface: str, responses: Responses, user: int, a: int) -> Action:
    item, time_s = item_id(int(responses.item[a])), int(responses.time_s[a])
    action_type = ACTION_TYPES[responses.action[a]]
    return Action(
        event_id=f"{user + FIRST_USER}-{time_s}-{item}-{action_type}",
        user_id=user + FIRST_USER,
        item_id=item,
        action_type=action_type,
        timestamp_s=time_s,
        duration_s=float(responses.duration_s[a]),
        surface=surface,
        position=int(responses.position[a]) if surface == HOME else None,
    )


def _by_time(action: Action) -> tuple[int, str]:
    return action.timestamp_s, action.event_id


def _remember(memory: Memory, log: Dataset) -> None:
    """Fill the memory from a log's impressions and positive actions, oldest first."""
    seen = _indexed(log.scan(schema.IMPRESSIONS))
    memory.recollect(*(seen[name].to_numpy() for name in ("user", "item", "time_s")))
    long_enough = (pl.col(schema.ACTION_TYPE) != "closeup") | (pl.col(schema.DURATION_S) >= LONG_S)
    positive = pl.col(schema.ACTION_TYPE).is_in(list(log.spec.positive)) & long_enough
    liked = _indexed(log.scan(schema.ACTIONS).filter(positive))
    memory.like(liked["user"].to_numpy(), liked["item"].to_numpy())


def _indexed(rows: pl.LazyFrame) -> pl.DataFrame:
    """Columns user, item (indices) and time_s of ``rows``, in order of time."""
    return (
        rows.select(
            user=pl.col(schema.USER_ID) - FIRST_USER,
            item=pl.col(schema.ITEM_ID).str.strip_prefix(PREFIX).cast(pl.Int64),
            time_s=pl.col(schema.TIMESTAMP) // 1000,
        )
        .sort("time_s", maintain_order=True)
        .collect()
    )
