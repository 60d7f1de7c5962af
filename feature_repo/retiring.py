"""Retiring encoders: their vectors leave the store, online and offline, with their services.

The order lets a crash be mended by doing it again. The offline folder goes first: a release whose
encoder has none counts as retired (``publish.is_published``) whatever else is still there. The
declaration goes last: what is declared is found by the next retirement.
"""

import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING

from feature_repo import redis_rows
from feature_repo.connection import FeastConnection
from feature_repo.definitions import VECTOR_VIEWS
from feature_repo.settings import ONLINE_FILE
from feature_repo.writers import BUSY_TIMEOUT_S
from homefeed.errors import FeatureStoreError

if TYPE_CHECKING:
    from feast import FeatureService, FeatureView


@dataclass(frozen=True, kw_only=True)
class VectorView:
    """The vectors of one encoder in the store."""

    name: str
    encoder_hash: str
    services: tuple[str, ...]  # feature services that pin it
    rows: int | None  # users online; None where counting reads the whole store (Redis)
    published_s: float  # when it was declared or last written, by the machine's clock
    is_ours: bool  # False: another workspace declared it in a registry that both use


IsKept = Callable[[VectorView], bool]


def vector_views(connection: FeastConnection) -> list[VectorView]:
    """The encoders whose vectors the store holds, by name. FeatureStoreError without a store."""
    store = connection.store()
    store.refresh_registry()
    services = store.list_feature_services()
    views = [each for each in store.list_feature_views() if each.name.startswith(VECTOR_VIEWS)]
    return sorted((_found(connection, v, services) for v in views), key=lambda view: view.name)


def retire(connection: FeastConnection, is_kept: IsKept) -> list[VectorView]:
    """Drop the encoders' vectors that are not to be kept; what was dropped, Redis rows counted.

    ``is_kept`` is asked while nothing is published. Raises BusyError, FeatureStoreError, OSError.
    """
    with connection.lock("publish"), connection.lock("registry"):
        found = vector_views(connection)
        gone = [each for each in found if each.is_ours and not is_kept(each)]
        for view in gone:
            _remove(connection.offline / view.name)
        if connection.settings.online_store == "redis":
            gone = [replace(view, rows=_delete_from_redis(connection, view)) for view in gone]
        if gone:
            _undeclare(connection, gone)  # drops SQLite's tables too
    return gone


def _found(
    connection: FeastConnection, view: "FeatureView", services: Sequence["FeatureService"]
) -> VectorView:
    folder = connection.offline / view.name
    declared = view.created_timestamp
    written = [path.stat().st_mtime for path in folder.glob("*.parquet")]
    if declared is not None:  # UTC, whether Feast says so or not
        written.append((declared if declared.tzinfo else declared.replace(tzinfo=UTC)).timestamp())
    pinned = [s.name for s in services if view.name in _views_of(s)]
    return VectorView(
        name=view.name,
        encoder_hash=view.tags.get("encoder_hash", ""),
        services=tuple(sorted(pinned)),
        rows=_rows_in_sqlite(connection, view),
        published_s=max(written, default=0.0),
        is_ours=view.batch_source is not None and Path(view.batch_source.path).parent == folder,
    )


def _views_of(service: "FeatureService") -> set[str]:
    return {each.name for each in service.feature_view_projections}


def _rows_in_sqlite(connection: FeastConnection, view: "FeatureView") -> int | None:
    path = connection.root / ONLINE_FILE
    if connection.settings.online_store != "sqlite":
        return None
    table = f"{connection.store().config.project}_{view.name}"
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as database:
            known = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
            if not database.execute(known, (table,)).fetchone():
                return 0  # dropped, and the declaration was to go next
            (values,) = database.execute(f'SELECT COUNT(*) FROM "{table}"').fetchone()
    except sqlite3.Error as error:
        raise FeatureStoreError(f"cannot read {path}: {error}; try again") from error
    return values // len(view.features)  # a user's features are written together


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _delete_from_redis(connection: FeastConnection, view: VectorView) -> int:
    try:
        return redis_rows.delete_all(connection, connection.view(view.name))
    except FeatureStoreError:
        raise
    except Exception as error:  # redis and Feast have no error in common
        raise FeatureStoreError(
            f"cannot delete {view.name} from Redis: {type(error).__name__}: {error}; once it "
            "answers, do it again"
        ) from error


def _undeclare(connection: FeastConnection, gone: Sequence[VectorView]) -> None:
    names = {view.name for view in gone}
    with connection.registry_copy() as store:
        views = [each for each in store.list_feature_views() if each.name in names]
        services = [each for each in store.list_feature_services() if names & _views_of(each)]
        read = {view.batch_source.name for view in views if view.batch_source is not None}
        sources = [each for each in store.list_data_sources() if each.name in read]
        store.apply([], objects_to_delete=[*services, *views, *sources], partial=False)
