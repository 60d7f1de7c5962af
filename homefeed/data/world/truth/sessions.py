"""When people come, with what in mind, and how many pages they look at.

The schedule hangs on the user and the day alone: no arm of a test can change it.
"""

from dataclasses import dataclass, fields

import numpy as np

from homefeed.clock import DAY_S
from homefeed.data.world.config import WorldConfig
from homefeed.data.world.hashing import choice, normal, uniform
from homefeed.data.world.truth.people import People

MAX_SESSIONS = 5  # of one user on one day
GAP_S = 3_600  # between the starts of two sessions of a user
LATEST_S = DAY_S - 3_600  # a session ends on the day on which it began


@dataclass(frozen=True, kw_only=True)
class Visits:
    """Requests for a page of the feed, as arrays of one length V."""

    user: np.ndarray  # int64[V], user index
    time_s: np.ndarray  # int64[V]
    intent: np.ndarray  # int64[V], the topic that the session is about (truth)
    page: np.ndarray  # int64[V], from 0
    last: np.ndarray  # bool[V], the session's last page
    dwell_s: np.ndarray  # int64[V], time spent on the page
    session: np.ndarray  # int64[V], the session's number on its day
    order: np.ndarray  # int64[V], the visit's number among its user's on this day
    searches: np.ndarray  # bool[V], the session began with a search before this page
    revisits: np.ndarray  # bool[V], the session began at something liked before

    def __len__(self) -> int:
        return len(self.user)

    def take(self, rows: np.ndarray) -> "Visits":
        """The visits of ``rows`` (indices or a mask)."""
        return Visits(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def make_visits(config: WorldConfig, people: People, topics: np.ndarray, day: int) -> Visits:
    """All visits of ``day`` (0 is the log's first day), in order of time.

    ``topics`` float64[K] is how common the topics are.
    """
    user, session, start_s = _session_starts(config, people, day)
    intent = _intents(config, people, topics, user, start_s)
    laws, seed = config.laws, config.seed
    key = (user, day, session)
    searches = uniform(seed, "session-search", *key) < laws.search_share
    revisits = uniform(seed, "session-revisit", *key) < laws.revisit_share

    page = np.arange(laws.max_pages)
    wants = uniform(seed, "page-more", *(k[:, None] for k in map(_array, key)), page[:-1])
    pages = 1 + np.cumprod(wants < laws.pages_continue, axis=1).sum(axis=1)
    keys = [_array(k)[:, None] for k in key]
    dwell = 110 * np.exp(0.45 * normal(seed, "page-dwell", *keys, page))
    dwell = np.clip(dwell, 60, 420).astype(np.int64)
    page_start = np.cumsum(dwell, axis=1) - dwell
    row, number = np.nonzero(page < pages[:, None])
    table = Visits(
        user=user[row],
        time_s=start_s[row] + page_start[row, number],
        intent=intent[row],
        page=number,
        last=number == pages[row] - 1,
        dwell_s=dwell[row, number],
        session=session[row],
        order=np.zeros(len(row), np.int64),
        searches=searches[row] & (number == 0),
        revisits=revisits[row] & (number == 0),
    )
    return _in_order(table)


def _array(value: np.ndarray | int) -> np.ndarray:
    return np.atleast_1d(value)


def _in_order(visits: Visits) -> Visits:
    by_user = np.lexsort((visits.time_s, visits.user))
    user = visits.user[by_user]
    first = np.r_[True, user[1:] != user[:-1]] if len(user) else np.zeros(0, bool)
    starts = np.flatnonzero(first)
    visits.order[by_user] = np.arange(len(user)) - np.repeat(
        starts, np.diff(np.r_[starts, len(user)])
    )
    return visits.take(np.lexsort((visits.user, visits.time_s)))


def _session_starts(
    config: WorldConfig, people: People, day: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """User, number and start (s) of each session of the day; starts of one user lie apart."""
    seed, users = config.seed, np.arange(config.users)
    day_s = config.start_s + day * DAY_S
    weekday = (day_s // DAY_S + 3) % 7  # 0 is Monday
    rate = people.sessions_per_day * (1.3 if weekday >= 5 else 0.9)
    rate = np.where(people.joined_s <= day_s, rate, 0.0)
    count = _poisson(rate, uniform(seed, "day-sessions", users, day))

    number = np.arange(MAX_SESSIONS)
    keys = (users[:, None], day, number)
    which = (uniform(seed, "session-peak", *keys) < 0.4).astype(int)
    hour = people.peak_h[users[:, None], which] + 1.8 * normal(seed, "session-hour", *keys)
    start = (hour % 24 * 3600).astype(np.int64)
    start[number >= count[:, None]] = 10 * DAY_S  # not a session: sorts to the end
    start.sort(axis=1)
    start = np.maximum.accumulate(start - number * GAP_S, axis=1) + number * GAP_S
    start = np.minimum(start, LATEST_S - (count[:, None] - 1 - number) * GAP_S)
    user, session = np.nonzero(number < count[:, None])
    return user, session, day_s + np.maximum(start[user, session], 600)


def _poisson(rate: np.ndarray, draw: np.ndarray) -> np.ndarray:
    """int64: Poisson counts by inverse transform, at most MAX_SESSIONS."""
    term = np.exp(-rate)
    below, count = term.copy(), np.zeros(len(rate), np.int64)
    for number in range(1, MAX_SESSIONS + 1):
        count += draw > below
        term = term * rate / number
        below += term
    return count


def _intents(
    config: WorldConfig,
    people: People,
    topics: np.ndarray,
    user: np.ndarray,
    start_s: np.ndarray,
) -> np.ndarray:
    """int64: the topic of each session: a project of these days, an interest, or elsewhere."""
    laws, seed = config.laws, config.seed
    everyone = np.cumsum(topics)
    # A project lasts some days: drawn from the interests, or something new (a wedding, a move).
    phase_days = uniform(seed, "project-phase", user) * laws.project_days
    period = ((start_s / DAY_S + phase_days) / laws.project_days).astype(np.int64)
    period_s = (period * laws.project_days - phase_days) * DAY_S
    own = choice(
        np.cumsum(people.interests(user, period_s), axis=-1),
        uniform(seed, "project-own", user, period),
    )
    new = choice(everyone, uniform(seed, "project-new", user, period))
    project = np.where(uniform(seed, "project-kind", user, period) < laws.project_own, own, new)
    # Interests have their hours: recipes in the evening, news in the morning.
    hour = start_s % DAY_S / 3600
    peak = 24 * uniform(seed, "topic-hour", np.arange(laws.topics))
    tilt = 1 + 0.6 * np.cos(2 * np.pi * (hour[:, None] - peak) / 24)
    interest = choice(
        np.cumsum(people.interests(user, start_s) * tilt, axis=-1),
        uniform(seed, "intent-interest", user, start_s),
    )
    elsewhere = choice(everyone, uniform(seed, "intent-elsewhere", user, start_s))
    kind = uniform(seed, "intent-kind", user, start_s)
    chosen = np.where(kind < laws.project_share, project, interest)
    return np.where(kind > 1 - laws.elsewhere_share, elsewhere, chosen)
