"""Everything that can be set about a server, read from the environment here and nowhere else.

`serving.run.start_server` writes these variables for the processes it starts, on top of those
that it finds. Under `homefeed serve` a value that homefeed.yaml, the profile or `--set` gives
comes before its variable.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from homefeed.clock import DAY_S
from homefeed.errors import ConfigError
from homefeed.schema import EVENT_LOG_FILE

PREFIX = "HOMEFEED_"

_FROM_ONE = (
    *("k", "max_k", "candidates", "max_candidates", "max_actions", "history_length"),
    *("max_in_flight", "max_body_bytes", "scorer_threads"),
)
_FROM_ZERO = ("popular_share", "recent_share", "shown_window_s", "explanations")
_ABOVE_ZERO = ("features_budget_ms", "log_budget_ms", "scorer_budget_ms", "poll_s")
_KNOWN = {
    "online_store": ("sqlite", "redis"),
    "scorer_device": ("cpu", "cuda"),
    "scorer_precision": ("float32", "bfloat16", "fastest"),
    "durable_sync": ("FULL", "NORMAL"),  # OFF would lose answered actions
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One server's settings; each field is the variable ``HOMEFEED_<FIELD IN CAPITALS>``."""

    workspace: Path = Path(".homefeed")  # the local state folder
    simulated_clock: bool = False  # a request may carry its own time, `at`

    k: int = 20  # items in a feed when the request does not say
    max_k: int = 100
    candidates: int = 100  # retrieved and scored for one feed
    max_candidates: int = 1000  # accepted by /v1/rank
    max_actions: int = 1000  # in one batch of /v1/actions
    max_body_bytes: int = 32 << 20  # of one request: the largest batch, each character escaped
    history_length: int = 100  # actions the ranker reads (TransAct section 3.2)
    popular_share: float = 0.15  # of the candidates, popular whatever the user's vector says
    recent_share: float = 0.05  # of the candidates, the newest items
    shown_window_s: float = float(DAY_S)  # an item shown within this time does not come back

    online_store: str = "sqlite"  # of the features: sqlite or redis, as the pipelines publish
    redis: str = "localhost:6379"  # host:port, where online_store is redis
    feast_registry: str = ""  # SQLAlchemy URL of Feast's registry; empty: a file

    features_budget_ms: float = 50.0  # one read of the feature store
    log_budget_ms: float = 50.0  # one read of the event log
    scorer_budget_ms: float = 1000.0  # one call of the scorer
    max_in_flight: int = 32  # requests in work; the next one is answered 429

    poll_s: float = 2.0  # how often the ledger and the tests' definitions are looked at
    scorer_threads: int = 1  # that share one request's candidates, per worker
    scorer_precision: str = "float32"  # float32, bfloat16 or fastest
    scorer_device: str = "cpu"  # cpu or cuda
    utility: str = ""  # head=weight,...: what orders a feed; empty: 1, negative -1
    explanations: int = 20_000  # kept for /v1/explain, oldest forgotten first
    durable_sync: str = "FULL"  # SQLite's `synchronous` for the event log: FULL or NORMAL

    def __post_init__(self) -> None:
        self._require_ranges()
        self._require_known_words()
        if self.k > self.max_k:
            raise ConfigError(
                f"{_variable('k')} is {self.k}, more than {_variable('max_k')}, which is "
                f"{self.max_k}; give {self.max_k} or less, or raise {_variable('max_k')}"
            )
        if self.popular_share + self.recent_share > 1:
            raise ConfigError(
                f"{_variable('popular_share')} is {self.popular_share} and "
                f"{_variable('recent_share')} is {self.recent_share}; give shares that sum to at "
                "most 1"
            )
        self.utility_weights()

    def _require_ranges(self) -> None:
        for name in _FROM_ONE:
            if getattr(self, name) < 1:
                raise ConfigError(f"{_variable(name)} is {getattr(self, name)}; give 1 or more")
        for name in _FROM_ZERO:
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):  # a NaN is not at least anything
                raise ConfigError(f"{_variable(name)} is {value}; give a number of 0 or more")
        for name in _ABOVE_ZERO:
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise ConfigError(f"{_variable(name)} is {value}; give a number above 0")

    def _require_known_words(self) -> None:
        for name, known in _KNOWN.items():
            if getattr(self, name) not in known:
                found = f"{_variable(name)} is {getattr(self, name)!r}"
                raise ConfigError(f"{found}; give one of {', '.join(known)}")

    def utility_weights(self) -> dict[str, float]:
        """Weights of the heads in the score that orders a feed; empty where none were set."""
        wrong = f"{_variable('utility')} is {self.utility!r}; give head=weight,head=weight"
        pairs = [pair.partition("=") for pair in self.utility.split(",") if pair.strip()]
        try:
            weights = {head.strip(): float(weight) for head, _, weight in pairs}
        except ValueError:
            raise ConfigError(wrong) from None
        if "" in weights or len(weights) < len(pairs):
            raise ConfigError(f"{wrong}, each head named once")
        if not all(map(math.isfinite, weights.values())):
            raise ConfigError(f"{wrong} with finite weights")
        return weights

    @property
    def event_log_path(self) -> Path:
        """The SQLite file of actions and exposures."""
        return self.workspace / EVENT_LOG_FILE

    @property
    def explain_path(self) -> Path:
        """The SQLite file of explanations: bounded, and not durable."""
        return self.workspace / "explain.db"

    @classmethod
    def from_env(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Read ``HOMEFEED_*``; ConfigError names the variable whose value does not parse."""
        environment = os.environ if environment is None else environment
        values: dict[str, Any] = {}
        for field in fields(cls):
            variable = _variable(field.name)
            if variable in environment:
                values[field.name] = _parse(variable, environment[variable], field.type)
        return cls(**values)

    def to_env(self) -> dict[str, str]:
        """The variables that make ``from_env`` return these settings in another process."""
        return {_variable(f.name): str(getattr(self, f.name)) for f in fields(self)}


def _variable(field: str) -> str:
    return PREFIX + field.upper()


def _parse(variable: str, text: str, kind: Any) -> Any:
    if kind is bool:
        if text.lower() in ("1", "true", "yes"):
            return True
        if text.lower() in ("0", "false", "no", ""):
            return False
        raise ConfigError(f"{variable} is {text!r}; give true or false")
    try:
        return kind(text)
    except ValueError:
        raise ConfigError(f"{variable} is {text!r}; give a value of type {kind.__name__}") from None
