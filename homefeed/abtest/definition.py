"""An A/B test's definition: one small YAML file, read once and never changed while it runs.

    name: realtime
    arms:
      control: {release: 3}
      realtime: {release: 4}
    traffic: 0.5
    layer: ranking
    primary: {name: positives_per_user, actions: [click, like]}
    guardrails:
      - {name: hides_per_request, actions: [hide], per: request, direction: down}
    min_effect: 0.01

Arms name release versions, never aliases: what an arm serves cannot change under the test.
"""

import dataclasses
import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from homefeed.artifacts import hash_json, writing
from homefeed.errors import ConfigError
from homefeed.plain_values import build, read_yaml, suggestion

PER = ("user", "request")
DIRECTIONS = ("up", "down")
CORRECTIONS = ("bonferroni", "none")
LEAST_USERS = 2  # of an arm: one user has no spread, and no interval


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What the users of one arm are served."""

    release: int  # version of the registered model `homefeed`
    weight: float = 1.0  # share of the test's users, relative to the other arms

    def __post_init__(self) -> None:
        if not 0 < self.release < 2**63:  # as the ledger holds them
            raise ValueError(f"release must be a version's number, found {self.release}")
        if not 0 < self.weight < math.inf:  # never true of a NaN, here and below
            raise ValueError(f"weight must be above 0 and finite, found {self.weight:g}")


@dataclass(frozen=True, kw_only=True)
class Metric:
    """Actions of some types, per exposed user or per request."""

    name: str
    actions: tuple[str, ...] = ()  # action types that are counted; empty: count requests
    per: str = "user"  # user, or request (a ratio; users are the clusters)
    direction: str = "up"  # which way is better: up or down
    max_harm: float = 0.0  # as a guardrail: a relative change for the worse that is tolerated

    def __post_init__(self) -> None:
        _require(self.per, PER, "per")
        _require(self.direction, DIRECTIONS, "direction")
        if not self.actions and self.per == "request":
            raise ValueError(f"metric {self.name!r} counts requests per request; give actions")
        if not 0 <= self.max_harm < math.inf:
            raise ValueError(f"max_harm must be 0 or more and finite, found {self.max_harm:g}")

    @property
    def tolerated(self) -> float:
        """``max_harm`` as a relative change of the metric: up where down is better."""
        return self.max_harm if self.direction == "down" else -self.max_harm


@dataclass(frozen=True, kw_only=True)
class Definition:
    """The whole definition. ConfigError or ValueError says what does not fit."""

    name: str
    arms: dict[str, Arm]  # in the order of the file
    primary: Metric
    guardrails: tuple[Metric, ...] = ()
    control: str = ""  # the arm that the others are compared with; empty: the first
    traffic: float = 1.0  # share of all users that take part
    layer: str = "default"  # tests of different layers assign independently of each other
    salt: str = ""  # another salt is another draw of arms; empty: the name
    min_effect: float = 0.0  # relative lift that is worth shipping
    planned_effect: float = 0.05  # relative lift that the test is sized to detect
    confidence: float = 0.95
    power: float = 0.8
    correction: str = "bonferroni"  # of the primary metric where several arms meet the control
    min_users: int = 100  # per arm: below it no interval is believed

    def __post_init__(self) -> None:
        if len(self.arms) < 2:
            raise ValueError(f"a test needs two arms or more, found {len(self.arms)}")
        if self.control and self.control not in self.arms:
            raise ValueError(f"control {self.control!r} is no arm; arms: {', '.join(self.arms)}")
        for name in ("traffic", "confidence", "power"):
            value = getattr(self, name)
            if not 0 < value <= 1 or (value == 1 and name != "traffic"):
                raise ValueError(f"{name} must lie between 0 and 1, found {value:g}")
        if not (0 < self.planned_effect < math.inf and 0 <= self.min_effect < math.inf):
            raise ValueError(
                f"planned_effect must be above 0 and min_effect not below, both finite; found "
                f"{self.planned_effect:g} and {self.min_effect:g}"
            )
        if self.min_users < LEAST_USERS:
            raise ValueError(f"min_users must be {LEAST_USERS} or more, found {self.min_users}")
        _require(self.correction, CORRECTIONS, "correction")
        names = [metric.name for metric in self.metrics]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"metric {twice[0]!r} is there twice; names must differ")

    @property
    def control_arm(self) -> str:
        """The arm that the others are compared with."""
        return self.control or next(iter(self.arms))

    @property
    def treatments(self) -> tuple[str, ...]:
        """All arms but the control."""
        return tuple(arm for arm in self.arms if arm != self.control_arm)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The primary metric, then the guardrails."""
        return (self.primary, *self.guardrails)

    @property
    def primary_confidence(self) -> float:
        """``confidence`` of the primary metric's intervals, corrected for several treatments."""
        if self.correction == "bonferroni":
            return 1 - (1 - self.confidence) / len(self.treatments)
        return self.confidence

    @property
    def key(self) -> str:
        """What assignment hashes beside the user: layer and salt."""
        return f"{self.layer}/{self.salt or self.name}"

    @property
    def hash(self) -> str:
        """16 hexadecimal digits; a changed definition is another test."""
        # Keys are hashed sorted, and the arms' order says which is control and who gets which.
        return hash_json([list(self.arms), dataclasses.asdict(self)])


def read_definition(path: Path) -> Definition:
    """Read a definition; ConfigError names the key that is wrong and what to write."""
    try:
        values = read_yaml(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"test definition {path} does not exist") from None
    except IsADirectoryError:
        raise ConfigError(f"test definition {path} is a folder; give its YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no keys; write name, arms and primary")
    return parse_definition(values, str(path))


def parse_definition(values: dict[str, Any], where: str = "test definition") -> Definition:
    """Build a definition from plain values; ``where`` names their source in errors."""
    fields = [field.name for field in dataclasses.fields(Definition)]
    for key in values:
        if key not in fields:
            raise ConfigError(f"{where}: unknown key {key!r}{suggestion(str(key), fields)}")
    for key in ("name", "arms", "primary"):
        if not values.get(key):
            raise ConfigError(f"{where}: `{key}` is missing; a test needs name, arms and primary")
    for name, arm in values["arms"].items() if isinstance(values["arms"], dict) else ():
        if isinstance(arm, dict) and isinstance(arm.get("release"), str):
            raise ConfigError(
                f"{where}: arm {name!r} names release {arm['release']!r}; give the version's "
                "number (homefeed history), because an alias can move under a running test"
            )
    try:
        return build(Definition, values)
    except TypeError as error:
        raise ConfigError(f"{where}: {_missing(error)}") from None
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def require_known_actions(definition: Definition, known: Collection[str]) -> None:
    """Raise ConfigError where a metric counts a type that is not ``known``: it would stay at 0."""
    for metric in definition.metrics:
        for action in metric.actions:
            if action not in known:
                raise ConfigError(
                    f"metric {metric.name!r} counts {action!r}, which no arm's release knows, so "
                    f"that no server takes it{suggestion(action, known)}"
                )


def write_definition(path: Path, definition: Definition) -> None:
    """Write a definition as YAML, atomically; ``read_definition`` gives it back equal."""
    plain = _plain(dataclasses.asdict(definition))
    with writing(Path(path)) as beside:
        beside.write_text(
            yaml.safe_dump(plain, sort_keys=False, allow_unicode=True), encoding="utf-8"
        )


def _require(value: str, known: tuple[str, ...], name: str) -> None:
    if value not in known:
        raise ValueError(f"{name} must be {' or '.join(known)}, found {value!r}")


def _missing(error: TypeError) -> str:
    """``Arm.__init__() missing … argument: 'release'`` → ``arm: `release` is missing``."""
    kind = str(error).partition(".")[0].lower()
    name = str(error).rpartition(": ")[2].strip("'")
    return f"{kind}: `{name}` is missing"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple | list) else value
