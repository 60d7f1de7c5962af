"""People: several interests each, drifting slowly; habits of the day; different temperaments."""

from dataclasses import dataclass

import numpy as np

from homefeed.clock import DAY_S
from homefeed.data.world.config import WorldConfig
from homefeed.data.world.hashing import choice, normal, uniform
from homefeed.data.world.truth.items import STYLES

MAX_INTERESTS = 6


@dataclass(frozen=True, kw_only=True)
class People:
    """Who the users are. U users, K topics, T knots of drift."""

    knots: np.ndarray  # float32[T, U, K], interest weights at the knots, rows sum to 1
    knot_s: float  # seconds between knots
    origin_s: int  # time of the first knot
    style: np.ndarray  # float64[U, STYLES]
    sessions_per_day: np.ndarray  # float64[U]
    joined_s: np.ndarray  # int64[U]
    peak_h: np.ndarray  # float64[U, 2], the two favourite hours of the day, UTC
    eagerness: np.ndarray  # float64[U], added to the logit of engaging
    saves: np.ndarray  # float64[U], added to the logit of saving
    clicks: np.ndarray  # float64[U], added to the logit of clicking

    def interests(self, user: np.ndarray, time_s: np.ndarray) -> np.ndarray:
        """float64[..., K]: interest weights of ``user`` at ``time_s``, between two knots."""
        place = np.clip(
            (np.asarray(time_s) - self.origin_s) / self.knot_s, 0, len(self.knots) - 1.001
        )
        knot = place.astype(int)
        late = (place - knot)[..., None]
        return (1 - late) * self.knots[knot, user] + late * self.knots[knot + 1, user]


def make_people(config: WorldConfig, prevalence: np.ndarray) -> People:
    """The users; ``prevalence`` float64[K] says how common each topic is."""
    laws, seed = config.laws, config.seed
    user = np.arange(config.users)
    rate = laws.sessions_per_day * np.exp(
        laws.sessions_spread * normal(seed, "user-activity", user)
    )
    late = uniform(seed, "user-late", user) < laws.late_joiners
    joined = np.where(late, uniform(seed, "user-joined", user) * config.days * DAY_S, -1e9)
    peak = 18 + 3.0 * normal(seed, "user-peak", user[:, None], np.arange(2))
    peak[:, 1] -= 7.0
    origin_s = config.start_s - config.warmup_days * DAY_S
    return People(
        knots=_drifting_interests(config, prevalence),
        knot_s=laws.drift_days * DAY_S,
        origin_s=origin_s,
        style=normal(seed, "user-style", user[:, None], np.arange(STYLES)),
        sessions_per_day=np.minimum(rate, 3.0),
        joined_s=(config.start_s + joined).astype(np.int64),
        peak_h=peak % 24,
        eagerness=0.4 * normal(seed, "user-eager", user),
        saves=0.5 * normal(seed, "user-saves", user),
        clicks=0.5 * normal(seed, "user-clicks", user),
    )


def _drifting_interests(config: WorldConfig, prevalence: np.ndarray) -> np.ndarray:
    """float32[T, U, K]: at each knot a few interests are replaced by new ones."""
    laws, seed = config.laws, config.seed
    span_days = config.warmup_days + config.days + config.live_days
    knots = int(span_days / laws.drift_days) + 2
    user, slot = np.arange(config.users)[:, None], np.arange(MAX_INTERESTS)
    count = 2 + (uniform(seed, "user-interests", user) * (MAX_INTERESTS - 1)).astype(int)
    weight = -np.log(uniform(seed, "user-weights", user, slot)) * (slot < count)
    weight += 0.35 * (slot < count)  # no interest is negligible
    weight /= weight.sum(axis=1, keepdims=True)
    cumulative = np.cumsum(prevalence)

    topic = choice(cumulative, uniform(seed, "user-topics", user, slot, 0))
    out = np.zeros((knots, config.users, laws.topics), np.float32)
    for knot in range(knots):
        if knot:
            fresh = choice(cumulative, uniform(seed, "user-topics", user, slot, knot))
            replaced = uniform(seed, "user-drift", user, slot, knot) < laws.drift_share
            topic = np.where(replaced, fresh, topic)
        np.add.at(out[knot], (np.broadcast_to(user, topic.shape), topic), weight)
    return out
