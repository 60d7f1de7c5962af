"""The world's sizes and seeds (free), and its laws (calibrated, then frozen)."""

from dataclasses import dataclass, field, replace

from homefeed.clock import DAY_S
from homefeed.errors import ConfigError
from homefeed.plain_values import above, between, seed_number

SHARES = (
    *("group_affinity", "category_noise", "pages_continue", "late_joiners", "drift_share"),
    *("project_share", "project_own", "elsewhere_share", "search_share", "revisit_share"),
    "related_share",
)
DAYS = ("catalogue_age_days", "freshness_days", "drift_days", "project_days", "boredom_days")


@dataclass(frozen=True, kw_only=True)
class Laws:
    """How people and items behave. Frozen: see docs/lab_log.md, "The world, frozen"."""

    # items
    topics: int = 40
    groups: int = 10  # neighbouring topics share a group
    group_affinity: float = 0.25  # how much a topic's neighbours count as that topic
    content_dim: int = 32
    content_noise: float = 1.6  # of each number, where the topics' own spread is 1
    category_noise: float = 0.08  # share of items filed under a wrong category
    catalogue_age_days: float = 120.0  # items are this old at most when the log starts
    quality_scale: float = 0.8
    freshness_days: float = 12.0  # decay of what is new
    # people
    sessions_per_day: float = 0.052  # median over users
    sessions_spread: float = 1.1  # standard deviation of its logarithm
    pages_continue: float = 0.66  # probability of another page
    max_pages: int = 8
    late_joiners: float = 0.25  # share of users who join while the log runs
    drift_days: float = 20.0  # knots of the slow drift
    drift_share: float = 0.12  # interests replaced at a knot
    # sessions
    project_share: float = 0.35  # sessions about the project of these days
    project_days: float = 5.0
    project_own: float = 0.65  # projects that come from the user's interests; others are new
    elsewhere_share: float = 0.20  # sessions about something that is no interest of the user
    search_share: float = 0.40  # sessions that begin with a search
    revisit_share: float = 0.08  # sessions that begin at something liked before
    # responses
    base: float = -2.8
    interest_weight: float = 1.2
    intent_weight: float = 3.6
    quality_weight: float = 0.7
    style_weight: float = 0.6
    freshness_weight: float = 0.5
    boredom_weight: float = 2.2
    boredom_days: float = 25.0
    examination: float = 0.10  # examination at position p is 1 / (1 + this * (p - 1))
    related_share: float = 0.40  # positive feed actions that lead on to related items

    def __post_init__(self) -> None:
        for name in ("topics", "groups", "content_dim", "max_pages"):
            between(name, getattr(self, name), 1)
        if self.topics % self.groups:
            raise ValueError(f"groups is {self.groups}; give a divisor of topics ({self.topics})")
        for name in SHARES:
            between(name, getattr(self, name), 0, 1)
        for name in (*DAYS, "sessions_per_day"):
            above(name, getattr(self, name), 0)
        for name in ("content_noise", "sessions_spread", "examination"):
            between(name, getattr(self, name), 0)


@dataclass(frozen=True, kw_only=True)
class WorldConfig:
    """A world's size and seeds. Equal configurations make equal worlds, byte for byte."""

    users: int = 20_000
    items: int = 3_000  # at the end of the log; more appear at the same pace while live
    days: int = 60
    live_days: int = 60  # days after the log on which the world can still be asked
    warmup_days: int = 10  # simulated before the log so that it starts in a steady state
    start_s: int = 1_735_689_600  # 2025-01-01 00:00 UTC
    seed: int = 7  # people and items
    log_seed: int = 11  # the logging policy's own draws
    response_seed: int = 13  # how people respond, in the log and to a live server
    laws: Laws = field(default_factory=Laws)

    def __post_init__(self) -> None:
        for name, low in (
            *(("users", 1), ("items", 10), ("days", 1), ("live_days", 0)),
            *(("warmup_days", 0), ("start_s", 0)),
        ):
            if getattr(self, name) < low:
                raise ConfigError(
                    f"world.{name} is {getattr(self, name)}; it must be at least {low}"
                )
        for name in ("seed", "log_seed", "response_seed"):
            seed_number(name, getattr(self, name))

    @property
    def end_s(self) -> int:
        """Where the log ends and live days begin, seconds."""
        return self.start_s + self.days * DAY_S

    @property
    def all_items(self) -> int:
        """Items of the log and those that appear on live days."""
        span = self.laws.catalogue_age_days + self.days
        return self.items + int(self.items * self.live_days / span)


PRESETS = {
    "tiny": WorldConfig(users=400, items=600, days=30, live_days=14),
    "small": WorldConfig(),
    "base": WorldConfig(users=20_000, items=20_000, days=90),
}


def world_config(preset: str = "small", **changes: int) -> WorldConfig:
    """A named size, with single fields changed; ConfigError where the name is unknown."""
    if preset not in PRESETS:
        raise ConfigError(f"no world preset {preset!r}; there are {', '.join(PRESETS)}")
    return replace(PRESETS[preset], **changes)
