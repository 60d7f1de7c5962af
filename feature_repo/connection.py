"""Feast, opened: registry, views, online store. Every Feast object of the project comes from here.

Feast as it really behaves (0.67): the file registry is rewritten in place, so declarations are
applied to a copy that then replaces it; one registry read costs milliseconds, so views are
resolved once and kept; ``get_online_features`` spends three quarters of its time on building a
response, so online rows are read through the store's own ``online_read``.
"""

import importlib
import logging
import os
import shutil
import sqlite3
import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from filelock import FileLock, Timeout

from feature_repo.definitions import (
    JOIN_KEY,
    EncoderView,
    ReleaseService,
    declarations,
    view_name,
)
from feature_repo.settings import (
    ONLINE_FILE,
    REGISTRY_FILE,
    StoreSettings,
    feast_configuration,
)
from homefeed.artifacts import writing
from homefeed.errors import BusyError, FeatureStoreError

if TYPE_CHECKING:
    import feast


class FeastConnection:
    """One Feast project below ``root``; threads may share it once ``FeatureStore.warm_up`` ran."""

    def __init__(self, root: Path, settings: StoreSettings) -> None:
        self.root = Path(root).resolve()
        self.settings = settings
        self.offline = self.root / "offline"
        self._store: feast.FeatureStore | None = None
        self._services: dict[str, tuple[feast.FeatureView, ...]] = {}
        self._views: dict[str, feast.FeatureView] = {}

    # --- declarations ---

    def apply(
        self,
        encoders: Sequence[EncoderView],
        services: Sequence[ReleaseService],
        logs: Sequence[str],
    ) -> None:
        """Declare encoders, services and logs beside those there are; again is no change."""
        with self.lock("registry"), self.registry_copy() as store:
            for encoder in encoders:
                _require_same_encoder(store, encoder)
            ttl_s = self.settings.vector_ttl_s
            objects = declarations(encoders, services, logs, self.offline, ttl_s)
            store.apply(objects)
        if self.settings.online_store == "sqlite":
            with closing(sqlite3.connect(self.root / ONLINE_FILE)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")  # readers never wait for writers

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """The writers' lock ``name``; readers take none. Raises BusyError."""
        self.root.mkdir(parents=True, exist_ok=True)
        timeout_s = self.settings.lock_timeout_s
        try:
            with FileLock(self.root / f"{name}.lock", timeout=timeout_s):
                yield
        except Timeout:
            raise BusyError(
                f"another run has been writing the feature store {self.root} for "
                f"{timeout_s:.0f} s; wait for it or end it"
            ) from None

    @contextmanager
    def registry_copy(self) -> Iterator["feast.FeatureStore"]:
        """Feast over a copy of the registry, which then takes its place; under its lock."""
        if self.settings.registry:  # a database has transactions of its own
            yield self._open()
            self._forget()
            return
        target = self.root / REGISTRY_FILE
        with writing(target) as beside:
            if target.exists():
                shutil.copyfile(target, beside)
            yield self._open(beside)
        self._forget()

    def _forget(self) -> None:
        configuration = feast_configuration(self.root, self.settings)
        with writing(self.root / "feature_store.yaml") as beside:
            beside.write_text(yaml.safe_dump(configuration, sort_keys=False))
        if self._store is not None:
            self._store.refresh_registry()
        self._services.clear()
        self._views.clear()

    # --- reading declarations ---

    def exists(self) -> bool:
        """Whether a registry is there; one in a database is taken to be."""
        return bool(self.settings.registry) or (self.root / REGISTRY_FILE).exists()

    def store(self) -> "feast.FeatureStore":
        """Feast's own object. Raises FeatureStoreError where nothing was applied yet."""
        if self._store is None:
            if not self.exists():
                raise FeatureStoreError(
                    f"there is no feature store in {self.root}; run `homefeed pipeline run "
                    "embeddings`"
                )
            self._store = self._open()
        return self._store

    def service_views(self, service: str) -> tuple["feast.FeatureView", ...]:
        """The views that a feature service pins. Raises FeatureStoreError for an unknown one."""
        found = self._services.get(service)
        if found is None:
            import_feast()
            from feast.errors import FeatureServiceNotFoundException

            try:
                known = self._refreshed(lambda store: store.get_feature_service(service))
            except FeatureServiceNotFoundException:
                names = sorted(each.name for each in self.store().list_feature_services())
                raise FeatureStoreError(
                    f"there is no feature service {service}; known: {', '.join(names) or 'none'}; "
                    "a release that was retired is published again by `homefeed promote`, "
                    "`homefeed rollback` and `homefeed ab start`, and by the next daily run"
                ) from None
            found = tuple(self.view(each.name) for each in known.feature_view_projections)
            self._services[service] = found
        return found

    def encoder_view(self, encoder_hash: str) -> "feast.FeatureView":
        """The view of one encoder. Raises FeatureStoreError where it is another encoder's."""
        view = self.view(view_name(encoder_hash))
        if view.tags.get("encoder_hash") != encoder_hash:
            raise FeatureStoreError(
                f"feature view {view.name} holds the vectors of user encoder "
                f"{view.tags.get('encoder_hash')}, not of {encoder_hash}; retire it first "
                "(`homefeed features retire`)"
            )
        return view

    def view(self, name: str) -> "feast.FeatureView":
        """A feature view by name. Raises FeatureStoreError where there is none."""
        found = self._views.get(name)
        if found is None:
            import_feast()
            from feast.errors import FeatureViewNotFoundException

            try:
                found = self._refreshed(lambda store: store.get_feature_view(name))
            except FeatureViewNotFoundException:
                names = sorted(each.name for each in self.store().list_feature_views())
                raise FeatureStoreError(
                    f"there is no feature view {name}; known: {', '.join(names) or 'none'}; "
                    "run the pipeline again, which declares its encoder"
                ) from None
            self._views[name] = found
        return found

    def require_declared(self, name: str) -> None:
        """FeatureStoreError where a view was retired since it was looked up; under the lock."""
        self._views.pop(name, None)
        self.store().refresh_registry()
        self.view(name)

    def _refreshed(self, look_up: Any) -> Any:
        """Look in the cached registry, then once more after reading it again."""
        store = self.store()
        from feast.errors import FeastObjectNotFoundException

        try:
            return look_up(store)
        except FeastObjectNotFoundException:
            store.refresh_registry()
            return look_up(store)

    # --- online rows ---

    def online_rows(
        self, view: "feast.FeatureView", features: Sequence[str], users: Sequence[str]
    ) -> list[dict[str, Any] | None]:
        """Stored values (Feast ``Value`` protos by feature) of each user; None where there is none.

        SQLite says so by absence, Redis by empty values: both come back as None. Raises
        FeatureStoreError where the store does not answer.
        """
        store = self.store()
        keys = [entity_key(user) for user in users]
        try:
            rows = store._get_provider().online_read(store.config, view, keys, list(features))
        except Exception as error:  # sqlite3, redis and Feast have no error in common
            raise FeatureStoreError(
                f"the online store does not answer for {view.name}: {type(error).__name__}: {error}"
            ) from error
        return [_present(values, features) for _, values in rows]

    def _open(self, registry_file: Path | None = None) -> "feast.FeatureStore":
        feast = import_feast()
        from feast.repo_config import RepoConfig

        values = feast_configuration(self.root, self.settings, registry_file)
        self.root.mkdir(parents=True, exist_ok=True)
        return feast.FeatureStore(config=RepoConfig(repo_path=self.root, **values))


def import_feast() -> Any:
    """Import Feast (seconds the first time) without its telemetry and advisory log lines."""
    os.environ.setdefault("FEAST_USAGE", "False")
    _torch_on_demand()
    with _without_typeguard():
        import feast

    logging.getLogger("feast").setLevel(logging.ERROR)
    return feast


def _torch_on_demand() -> None:
    """Feast loads torch with itself, for tensors that nobody here asks it for: half of its import.

    What it asks for torch through is in place before it is: torch is loaded when it is asked for.
    """
    wrapper = types.ModuleType("feast.torch_wrapper")
    wrapper.get_torch = lambda: importlib.import_module("torch")
    sys.modules.setdefault(wrapper.__name__, wrapper)


@contextmanager
def _without_typeguard() -> Iterator[None]:
    """Feast's classes as they are written.

    Each of them has its source parsed and rewritten by typeguard while it is imported: more than
    half of an import's time (docs/lab_log.md). Typeguard has no switch for that but ``python -O``.
    """
    import typeguard

    typechecked = typeguard.typechecked
    typeguard.typechecked = lambda target: target
    try:
        yield
    finally:
        typeguard.typechecked = typechecked


def entity_key(user: str) -> Any:
    """Feast's key of one typed user id."""
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    return EntityKey(join_keys=[JOIN_KEY], entity_values=[Value(string_val=user)])


def _present(values: dict[str, Any] | None, features: Sequence[str]) -> dict[str, Any] | None:
    if values is None:
        return None
    complete = all(name in values and values[name].WhichOneof("val") for name in features)
    return values if complete else None


def _require_same_encoder(store: "feast.FeatureStore", encoder: EncoderView) -> None:
    """Two hashes may share their first digits: refuse rather than mix their vectors."""
    for view in store.list_feature_views():
        found = (view.tags.get("encoder_hash"), view.tags.get("dim"))
        if view.name == encoder.name and found != (encoder.hash, str(encoder.dim)):
            raise FeatureStoreError(
                f"feature view {view.name} belongs to user encoder {found[0]} of width "
                f"{found[1]}, not to {encoder.hash} of width {encoder.dim}; retire it first "
                "(`homefeed features retire`)"
            )
