"""One typed configuration. The profile says where things run and are kept, never what is computed.

Values come, later over earlier, from: the defaults below, the built-in profile, homefeed.yaml
(its top level, then its section for the profile), and ``--set key=value``. Each value remembers
where it came from (``homefeed config show``). Unknown keys are errors with a suggestion.
"""

import dataclasses
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from homefeed.errors import ConfigError
from homefeed.plain_values import (
    between,
    build,
    flatten,
    nested,
    one_of,
    parse_assignment,
    read_yaml,
    share,
    suggestion,
)

DEFAULT_FILE = "homefeed.yaml"
LOCAL = "local"  # the profile of one machine
LAST_PORT = 65_535
LEAST_ROUNDS = 100  # the gate's rule takes no fewer: the ends of an interval would be guesses
RUN_VARIABLE = "HOMEFEED_RUN"  # the id of a local run, in the environment of its steps


@dataclass(frozen=True, kw_only=True)
class StorageConfig:
    """Where things are kept."""

    root: str = ".homefeed"  # everything local lives below this folder
    tracking_uri: str = ""  # MLflow; empty: SQLite and a folder below root
    online_store: str = "sqlite"  # Feast online store: sqlite or redis
    redis: str = "localhost:6379"  # host:port, where online_store is redis
    feast_registry: str = ""  # Feast registry; empty: a file below root

    def __post_init__(self) -> None:
        one_of("online_store", self.online_store, ("sqlite", "redis"))


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

    def __post_init__(self) -> None:
        one_of("device", self.device, ("cpu", "cuda"))
        one_of("backend", self.backend, ("gloo", "nccl"))
        one_of("precision", self.precision, ("float32", "bf16"))
        between("num_workers", self.num_workers, 0)
        between("embed_workers", self.embed_workers, 0)
        between("num_cpus", self.num_cpus, 1)
        between("object_store_mb", self.object_store_mb, 1)

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
    scorer_device: str = "cpu"  # cpu or cuda
    scorer_precision: str = "float32"  # of the transformer: float32, bfloat16 or fastest
    poll_s: float = 2.0  # how often the ledger and the running tests are looked at
    feature_budget_ms: float = 50.0  # beyond it the answer degrades and says so

    def __post_init__(self) -> None:
        between("port", self.port, 0, LAST_PORT)  # 0 takes a free one
        one_of("scorer", self.scorer, ("service", "in_process"))
        between("scorer_threads", self.scorer_threads, 1)
        between("poll_s", self.poll_s, 0.01, 3600)
        between("feature_budget_ms", self.feature_budget_ms, 0.1, 60_000)
        one_of("scorer_device", self.scorer_device, ("cpu", "cuda"))
        one_of("scorer_precision", self.scorer_precision, ("float32", "bfloat16", "fastest"))


@dataclass(frozen=True, kw_only=True)
class PipelinesConfig:
    """Where pipelines run."""

    host: str = ""  # Kubeflow Pipelines API; needed by upload, submit and schedule
    experiment: str = "homefeed"
    namespace: str = "kubeflow"
    image: str = "homefeed:latest"
    daily_cron: str = "0 0 2 * * *"  # six fields, seconds first: every night at two
    run_timeout_s: int = 7200  # a local run that takes longer is ended

    def __post_init__(self) -> None:
        between("run_timeout_s", self.run_timeout_s, 1)


@dataclass(frozen=True, kw_only=True)
class ChecksConfig:
    """Thresholds of the data checks: above them a run is refused (exit 3)."""

    max_rejected_share: float = 0.05  # rows set aside, of any table, for one reason or all
    max_duplicate_share: float = 0.05  # exact duplicates (removed and counted), of any table
    max_unseen_item_share: float = 0.20  # actions on items that the items table does not have
    max_unseen_user_share: float = 0.95  # impressions of users who have no action in the log
    max_actions_per_user_day: int = 5_000  # above it a user's day is an impossible rate

    def __post_init__(self) -> None:
        for table in ("rejected", "duplicate", "unseen_item", "unseen_user"):
            name = f"max_{table}_share"
            between(name, getattr(self, name), 0, 1)
        between("max_actions_per_user_day", self.max_actions_per_user_day, 1)


@dataclass(frozen=True, kw_only=True)
class GateConfig:
    """The promotion gate."""

    min_lift: float = 0.0  # relative, on the primary metric's lower bound
    confidence: float = 0.95
    bootstrap_rounds: int = 1_000

    def __post_init__(self) -> None:
        if not -math.inf < self.min_lift < math.inf:
            raise ValueError(f"min_lift is {self.min_lift}; give a number")
        share("confidence", self.confidence, 0.95)
        between("bootstrap_rounds", self.bootstrap_rounds, LEAST_ROUNDS)


@dataclass(frozen=True, kw_only=True)
class Config:
    """The whole configuration of one installation."""

    profile: str = LOCAL
    storage: StorageConfig = field(default_factory=StorageConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    serving: ServingConfig = field(default_factory=ServingConfig)
    pipelines: PipelinesConfig = field(default_factory=PipelinesConfig)
    checks: ChecksConfig = field(default_factory=ChecksConfig)
    gate: GateConfig = field(default_factory=GateConfig)

    @property
    def workspace(self) -> Path:
        """The absolute folder below which everything local lives."""
        return Path(self.storage.root).expanduser().resolve()

    @property
    def tracking_uri(self) -> str:
        """The MLflow tracking URI, derived from the workspace where none is given."""
        return self.storage.tracking_uri or local_tracking_uri(self.workspace)


def local_tracking_uri(workspace: Path) -> str:
    """MLflow's own SQLite file below a workspace."""
    return f"sqlite:///{workspace}/mlflow/mlflow.db"


PROFILES: dict[str, dict[str, Any]] = {
    LOCAL: {},
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

    Raises ConfigError for a missing file that was named, unknown keys, wrong types and values, and
    a workspace below which MLflow cannot keep its own file.
    """
    document, named = _read(file)
    in_file = document.pop("profile", None)
    if not isinstance(in_file, str | None):
        raise ConfigError(f"profile in {named} must be a name, found {in_file!r}")
    profile = profile or in_file or LOCAL
    sections = _profiles(document.pop("profiles", None), named)
    known = set(PROFILES) | set(sections)
    if profile not in known:
        raise ConfigError(f"unknown profile {profile!r}{suggestion(profile, known)}")
    layers = [
        (f"profile {profile}", PROFILES.get(profile, {})),
        (named, document),
        (f"{named}, profile {profile}", sections.get(profile) or {}),
    ]
    layers += [("--set", _assigned(text)) for text in overrides]
    values: dict[str, Any] = {"profile": profile}
    origin = {key: "default" for key in _dotted(Config())}
    if profile != LOCAL:
        origin["profile"] = named if profile == in_file else "--profile"
    for name, layer in layers:
        for key, value in flatten(layer).items():
            if value is None and key in _SECTIONS and name != "--set":
                continue  # a heading with nothing below it
            if key not in origin:
                raise ConfigError(f"unknown key {key!r} in {name}{suggestion(key, origin)}")
            values[key], origin[key] = value, name
    config = build(Config, nested(values))
    _require_place_for_mlflow(config)
    return Loaded(config, origin)


def _require_place_for_mlflow(config: Config) -> None:
    """Raise ConfigError where MLflow's own file would be another one, or could not be opened.

    MLflow takes its address to pieces as a URL: `?` ends a path there, and `%20` is a space.
    """
    found = re.search(r"\?|%[0-9A-Fa-f]{2}", str(config.workspace))
    if found and not config.storage.tracking_uri:
        raise ConfigError(
            f"storage.root is {config.workspace}, and MLflow cannot keep its file below a folder "
            f"with {found[0]!r} in its path; use another with --set storage.root=FOLDER, or set "
            "storage.tracking_uri"
        )


_SECTIONS = frozenset(f.name for f in dataclasses.fields(Config) if f.name != "profile")


def _profiles(found: Any, named: str) -> dict[str, Any]:
    profiles = found or {}
    if not isinstance(profiles, dict):
        raise ConfigError(f"profiles in {named} must hold a section for each, found {profiles!r}")
    for name, section in profiles.items():
        if not isinstance(name, str) or not isinstance(section, dict | None):
            raise ConfigError(
                f"profile {name!r} in {named} must be a name with keys below it, found {section!r}"
            )
    return profiles


def _assigned(text: str) -> dict[str, Any]:
    values = parse_assignment(text)
    if "profile" in values:  # it would change the name alone, and none of the profile's values
        raise ConfigError(f"--set {text} gives no profile; use --profile {values['profile']}")
    return nested(values)


def _read(file: Path | None) -> tuple[dict[str, Any], str]:
    path = Path(file or DEFAULT_FILE)
    if path.is_dir() or (file is not None and not path.exists()):
        found = "is a folder" if path.is_dir() else "does not exist"
        raise ConfigError(f"configuration file {path} {found}; name a YAML file")
    if not path.exists():
        return {}, str(path)
    try:
        document = read_yaml(path.read_text(encoding="utf-8")) or {}
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 ({error.reason}); save it as UTF-8") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: no such date
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{path} must hold keys and values, found {type(document).__name__}")
    return document, str(path)


def _dotted(config: Any) -> dict[str, Any]:
    return flatten(dataclasses.asdict(config))
