"""Where the feature store keeps things, and the Feast configuration that says so."""

from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import yaml

from homefeed.clock import DAY_S

TEMPLATES = Path(__file__).parent
ONLINE_FILE = "online.db"
REGISTRY_FILE = "registry.db"


@dataclass(frozen=True, kw_only=True)
class StoreSettings:
    """One feature store."""

    online_store: str = "sqlite"  # sqlite or redis
    redis: str = "localhost:6379"  # host:port, where online_store is redis
    registry: str = ""  # SQLAlchemy URL; empty: a file below the root
    vector_ttl_s: int = 3 * DAY_S  # an older user vector counts as missing
    sequence_length: int = 100  # actions kept per user
    batch_rows: int = 5_000  # users written per transaction: bounds memory and lock time
    join_rows: int = 100_000  # requests joined at once: bounds memory
    read_back: int = 64  # users read back and compared after every publish
    lock_timeout_s: float = 120.0  # how long a writer waits for another one

    def __post_init__(self) -> None:
        if self.online_store not in ("sqlite", "redis"):
            raise ValueError(f"online_store must be sqlite or redis, found {self.online_store!r}")
        for name in ("vector_ttl_s", "sequence_length", "batch_rows", "join_rows", "read_back"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}")


def feast_configuration(
    root: Path, settings: StoreSettings, registry_file: Path | None = None
) -> dict[str, Any]:
    """Feast's configuration as plain values, from the templates beside this file.

    The two profiles differ in their two stores; each template is used for the parts it names.
    ``registry_file`` stands in for the registry while declarations are applied.
    """
    file = str(registry_file or root / REGISTRY_FILE)
    local = _rendered("local", registry=file, online=str(root / ONLINE_FILE))
    cluster = _rendered("cluster", registry=settings.registry, online=settings.redis)
    chosen = dict(local)
    if settings.online_store == "redis":
        chosen["online_store"] = cluster["online_store"]
    if settings.registry:
        chosen["registry"] = cluster["registry"]
    return chosen


def _rendered(profile: str, **values: str) -> dict[str, Any]:
    template = yaml.safe_load((TEMPLATES / f"feature_store.{profile}.yaml").read_text())
    return _filled(template, values)


def _filled(template: Any, values: dict[str, str]) -> Any:
    """Fill the parsed template: in its text, a path with `: ` or ` #` would be YAML of its own."""
    if isinstance(template, dict):
        return {key: _filled(each, values) for key, each in template.items()}
    return Template(template).substitute(values) if isinstance(template, str) else template
