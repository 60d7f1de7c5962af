"""One typed configuration. The profile says where things run and are kept, never what is computed.

Values come, later over earlier, from: the defaults below, the built-in profile, homefeed.yaml
(its top level, then its section for the profile), and ``--set key=value``. Each value remembers
where it came from (``homefeed config show``). Unknown keys are errors with a suggestion.
"""

import dataclasses
import difflib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from homefeed.errors import ConfigError

DEFAULT_FILE = "homefeed.yaml"


@dataclass(frozen=True, kw_only=True)
class StorageConfig:
    """Where things are kept."""

    root: str = ".homefeed"  # everything local lives below this folder
    tracking_uri: str = ""  # MLflow; empty: SQLite and a folder below root
    online_store: str = "sqlite"  # Feast online store: sqlite or redis
    redis: str = "localhost:6379"  # host:port, where online_store is redis
    feast_registry: str = ""  # Feast registry; empty: a file below root


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """What training and batch inference run on."""

    num_workers: int = 2  # Ray Train workers; 0 trains in the step's own process
    device: str = "cpu"  # cpu or cuda
    backend: str = "gloo"  # gloo or nccl
    precision: str = "float32"  # float32 or bf16
    num_cpus: int = 2  # what the local Ray head may use; never less than the workers reserve
    object_store_mb: int = 300  # Ray's shared memory on a laptop
    embed_workers: int = 1  # Ray Data actors for batch inference; 0: in the step's own process

    @property
    def ray_cpus(self) -> int:
        """What a Ray started here is given: each worker reserves one, and must find it."""
        return max(self.num_cpus, self.num_workers)


@dataclass(frozen=True, kw_only=True)
class ServingConfig:
    """How the two services run."""

    host: str = "127.0.0.1"
    port: int = 3000
    scorer: str = "service"  # service: a process of its own; in_process: inside the CPU service
    scorer_threads: int = 1  # that share one request's candidates
    poll_s: float = 2.0  # how often the ledger and the running tests are looked at
    feature_budget_ms: float = 50.0  # beyond it the answer degrades and says so


@dataclass(frozen=True, kw_only=True)
class PipelinesConfig:
    """Where pipelines run."""

    host: str = ""  # Kubeflow Pipelines API; needed by upload, submit and schedule
    experiment: str = "homefeed"
    namespace: str = "kubeflow"
    image: str = "homefeed:latest"
    daily_cron: str = "0 0 2 * * *"  # six fields, seconds first: every night at two
    run_timeout_s: int = 7200  # a local run that takes longer is ended


@dataclass(frozen=True, kw_only=True)
class ChecksConfig:
    """Thresholds of the data checks: above them a run is refused (exit 3)."""

    max_rejected_share: float = 0.05  # rows set aside, of any table
    max_duplicate_share: float = 0.05  # exact duplicates (removed and counted), of any table
    max_unseen_item_share: float = 0.20  # actions on items that the items table does not have
    max_actions_per_user_day: int = 5_000  # above it a user's day is an impossible rate


@dataclass(frozen=True, kw_only=True)
class GateConfig:
    """The promotion gate."""

    min_lift: float = 0.0  # relative, on the primary metric's lower bound
    confidence: float = 0.95
    bootstrap_rounds: int = 1_000


@dataclass(frozen=True, kw_only=True)
class Config:
    """The whole configuration of one installation."""

    profile: str = "local"
    storage: StorageConfig = field(default_factory=StorageConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    serving: ServingConfig = field(default_factory=ServingConfig)
    pipelines: PipelinesConfig = field(default_factory=PipelinesConfig)
    checks: ChecksConfig = field(default_factory=ChecksConfig)
    gate: GateConfig = field(default_factory=GateConfig)

    @property
    def workspace(self) -> Path:
        """The absolute folder below which everything local lives."""
        return Path(self.storage.root).resolve()

    @property
    def tracking_uri(self) -> str:
        """The MLflow tracking URI, derived from the workspace where none is given."""
        return self.storage.tracking_uri or f"sqlite:///{self.workspace}/mlflow/mlflow.db"


PROFILES: dict[str, dict[str, Any]] = {
    "local": {},
    "cluster": {
        "storage": {
            "tracking_uri": "http://mlflow.homefeed.svc:5000",
            "online_store": "redis",
            "redis": "redis.homefeed.svc:6379",
            "root": "/var/lib/homefeed",
        },
        "training": {
            "num_workers": 4,
            "device": "cuda",
            "backend": "nccl",
            "precision": "bf16",
            "embed_workers": 4,
        },
        "serving": {"host": "0.0.0.0"},
        "pipelines": {"host": "http://ml-pipeline.kubeflow.svc:8888"},
    },
}


@dataclass(frozen=True)
class Loaded:
    """A configuration and, for each dotted key, where its value came from."""

    config: Config
    origin: dict[str, str]


def load_config(
    file: Path | None = None, profile: str | None = None, overrides: tuple[str, ...] = ()
) -> Loaded:
    """Load the configuration; ``overrides`` are ``key=value`` texts with dotted keys.

    Raises ConfigError for a missing file that was named, unknown keys, and wrong types.
    """
    document, named = _read(file)
    in_file = document.pop("profile", None)
    profile = profile or in_file or "local"
    sections = document.pop("profiles", {}) or {}
    known = set(PROFILES) | set(sections)
    if profile not in known:
        raise ConfigError(f"unknown profile {profile!r}{suggestion(profile, known)}")
    layers = [
        (f"profile {profile}", PROFILES.get(profile, {})),
        (named, document),
        (f"{named}, profile {profile}", sections.get(profile) or {}),
    ]
    layers += [("--set", nested(parse_assignment(text))) for text in overrides]
    values: dict[str, Any] = {"profile": profile}
    origin = {key: "default" for key in _dotted(Config())}
    if profile != "local":
        origin["profile"] = named if profile == in_file else "--profile"
    for name, layer in layers:
        for key, value in flatten(layer).items():
            if key not in origin:
                raise ConfigError(f"unknown key {key!r} in {name}{suggestion(key, origin)}")
            values[key], origin[key] = value, name
    return Loaded(build(Config, nested(values)), origin)


def _read(file: Path | None) -> tuple[dict[str, Any], str]:
    path = Path(file or DEFAULT_FILE)
    if not path.exists():
        if file is not None:
            raise ConfigError(f"configuration file {path} does not exist")
        return {}, str(path)
    try:
        document = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{path} must hold keys and values, found {type(document).__name__}")
    return document, str(path)


def parse_assignment(text: str) -> dict[str, Any]:
    """``a.b=1`` → ``{"a.b": 1}``; the value is read as YAML."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set needs key=value, found {text!r}; for example training.device=cpu")
    return {key.strip(): yaml.safe_load(value)}


def suggestion(word: str, known: typing.Iterable[str]) -> str:
    """``; did you mean 'x'?`` or the known words, for an error message."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(known)}"


def flatten(layer: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries → dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in layer.items():
        name = f"{prefix}{key}"
        flat.update(flatten(value, f"{name}.") if isinstance(value, dict) else {name: value})
    return flat


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    """Dotted keys → nested dictionaries."""
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, leaf = key.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return tree


def _dotted(config: Any) -> dict[str, Any]:
    return flatten(dataclasses.asdict(config))


def build(cls: type, values: dict[str, Any], prefix: str = "") -> Any:
    """Build a dataclass (nested ones too) from plain values, checking names and types."""
    fields = {f.name: f for f in dataclasses.fields(cls)}
    hints = typing.get_type_hints(cls)
    arguments = {}
    for key, value in values.items():
        if key not in fields:
            raise ConfigError(f"unknown key '{prefix}{key}'{suggestion(key, fields)}")
        arguments[key] = _convert(hints[key], value, f"{prefix}{key}")
    try:
        return cls(**arguments)
    except ValueError as error:
        raise ConfigError(f"{prefix.rstrip('.') or cls.__name__}: {error}") from None


def _convert(kind: Any, value: Any, name: str) -> Any:
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise ConfigError(f"{name} holds keys of its own, found {value!r}")
        return build(typing.cast(type, kind), value, f"{name}.")
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in inner:
            return None
        return _convert(next(k for k in inner if k is not type(None)), value, name)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{name} must be a list, found {value!r}")
        if inner[-1] is Ellipsis:
            return tuple(_convert(inner[0], each, name) for each in value)
        return tuple(_convert(k, each, name) for k, each in zip(inner, value, strict=True))
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{name} must be a mapping, found {value!r}")
        return {k: _convert(inner[1], each, f"{name}.{k}") for k, each in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is float and isinstance(value, str):  # YAML reads 1e-3 as text
        try:
            return float(value)
        except ValueError:
            raise ConfigError(f"{name} must be a number, found {value!r}") from None
    if isinstance(kind, type) and (not isinstance(value, kind) or _is_bool_for_int(kind, value)):
        raise ConfigError(f"{name} must be of type {kind.__name__}, found {value!r}")
    return value


def _is_bool_for_int(kind: type, value: Any) -> bool:
    return kind is int and isinstance(value, bool)
