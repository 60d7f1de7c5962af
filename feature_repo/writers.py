"""Bulk writes into the online store; an older row never replaces a newer one.

A day that is published again replaces the day: the rows of users who are no longer in it go, before
the others are written. A publish that is broken off in between leaves rows that the next publish of
any day writes over; rows of users whom no later day holds would stay. What they had before that day
was overwritten by it and does not come back.

SQLite: straight into Feast's own table, in one transaction per batch. Feast's writer has no
event-time check (the older row would win) and is three times slower; here the check and the
write are one statement. The layout is Feast's internal one, so the Feast version is pinned and
every publish is read back through Feast. Redis: Feast's own writer, after comparing times.
"""

import sqlite3
import struct
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from itertools import repeat
from typing import TYPE_CHECKING

from feature_repo import redis_rows
from feature_repo.connection import FeastConnection, entity_key
from feature_repo.definitions import JOIN_KEY
from feature_repo.rows import Encoded
from feature_repo.settings import ONLINE_FILE
from homefeed.errors import BusyError, FeatureStoreError, StorageError

if TYPE_CHECKING:
    from feast import FeatureView

BUSY_TIMEOUT_S = 30.0

_UPSERT = """
INSERT INTO "{table}" (entity_key, feature_name, value, event_ts, created_ts)
VALUES (?, ?, ?, ?, ?)
ON CONFLICT (entity_key, feature_name) DO UPDATE SET value = excluded.value,
  event_ts = excluded.event_ts, created_ts = excluded.created_ts
WHERE excluded.event_ts >= event_ts
"""

_DELETE = 'DELETE FROM "{table}" WHERE entity_key = ? AND event_ts = ?'


def write_online(
    connection: FeastConnection,
    view: "FeatureView",
    batches: Iterable[Encoded],
    as_of_s: int,
    created_s: int,
) -> int:
    """Write batches; returns how many users were written (the others hold newer rows).

    Raises BusyError, StorageError, FeatureStoreError.
    """
    write = _to_sqlite if connection.settings.online_store == "sqlite" else _to_redis
    return write(connection, view, batches, as_of_s, created_s)


def delete_others(
    connection: FeastConnection, view: "FeatureView", users: Iterable[str], as_of_s: int
) -> None:
    """Delete the view's rows at ``as_of_s`` but those of ``users``: nobody's, if the day is new.

    Raises BusyError, StorageError, FeatureStoreError.
    """
    if connection.settings.online_store != "sqlite":
        with _redis_told(view):
            keys = redis_rows.keys_at(connection, view, as_of_s)
            others = _others(keys, users)
            redis_rows.delete(connection, view, others, as_of_s)
        return
    path = connection.root / ONLINE_FILE
    table = f"{connection.store().config.project}_{view.name}"
    at = _feast_timestamp(as_of_s)
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as database, database:
            gone = ((key, at) for key in _others(_keys_at(database, table, at), users))
            database.executemany(_DELETE.format(table=table), gone)
    except sqlite3.Error as error:
        raise _translated(error, str(path)) from error


def _others(keys: set[bytes], users: Iterable[str]) -> set[bytes]:
    return keys.difference(map(entity_key_bytes, users)) if keys else keys


def _to_sqlite(
    connection: FeastConnection,
    view: "FeatureView",
    batches: Iterable[Encoded],
    as_of_s: int,
    created_s: int,
) -> int:
    store = connection.store()
    path = connection.root / ONLINE_FILE
    table = f"{store.config.project}_{view.name}"
    statement = _UPSERT.format(table=table)
    times = (_feast_timestamp(as_of_s), _feast_timestamp(created_s))
    written = 0
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as database:
            database.execute("PRAGMA synchronous=NORMAL")
            database.execute("PRAGMA cache_size=-65536")  # 64 MiB: the default spills a batch
            for batch in batches:
                keys = [entity_key_bytes(user) for user in batch.users]
                _require_feast_key(batch.users[0], keys[0])
                changed = 0
                with database:  # one transaction: a reader sees all of a batch's rows or none
                    for name, values in batch.columns.items():
                        rows = zip(keys, repeat(name), values, *map(repeat, times), strict=False)
                        changed = database.executemany(statement, rows).rowcount
                written += changed  # the same for every feature: they are written together
    except sqlite3.Error as error:
        raise _translated(error, str(path)) from error
    return written


def _keys_at(database: sqlite3.Connection, table: str, event_ts: int) -> set[bytes]:
    query = f'SELECT DISTINCT entity_key FROM "{table}" WHERE event_ts = ?'
    return {key for (key,) in database.execute(query, (event_ts,))}


def forget_newer(connection: FeastConnection, view: "FeatureView", as_of_s: int) -> None:
    """Delete a view's rows with a later as-of time from SQLite; other stores keep theirs."""
    path = connection.root / ONLINE_FILE
    if connection.settings.online_store != "sqlite" or not path.exists():
        return
    table = f"{connection.store().config.project}_{view.name}"
    statement = f'DELETE FROM "{table}" WHERE event_ts > ?'
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as database, database:
            database.execute(statement, (_feast_timestamp(as_of_s),))
    except sqlite3.Error as error:
        raise _translated(error, str(path)) from error


def entity_key_bytes(user: str) -> bytes:
    """Feast's key bytes (entity_key_serialization_version 3) of a typed user id."""
    name, text = JOIN_KEY.encode(), user.encode()
    return b"".join(
        (
            struct.pack("<III", 1, 2, len(name)),  # one join key, of type STRING
            name,
            struct.pack("<II", 2, len(text)),
            text,
        )
    )


def _require_feast_key(user: str, key: bytes) -> None:
    from feast.infra.key_encoding_utils import serialize_entity_key

    if serialize_entity_key(entity_key(user), 3) != key:
        raise FeatureStoreError(
            "this version of Feast lays out its keys differently; install the version in "
            "constraints.txt"
        )


def _feast_timestamp(time_s: int) -> int:
    """Feast's SQLite adapter stores the UTC clock reading as if it were local time."""
    return int(datetime.fromtimestamp(time_s, UTC).replace(tzinfo=None).timestamp())


def _to_redis(
    connection: FeastConnection,
    view: "FeatureView",
    batches: Iterable[Encoded],
    as_of_s: int,
    created_s: int,
) -> int:
    from feast.protos.feast.types.Value_pb2 import Value

    store = connection.store()
    as_of = datetime.fromtimestamp(as_of_s, UTC)
    created = datetime.fromtimestamp(created_s, UTC)
    written = 0
    with _redis_told(view):
        for batch in batches:
            rows = [
                (
                    entity_key(batch.users[row]),
                    {name: Value.FromString(values[row]) for name, values in batch.columns.items()},
                    as_of,
                    created,
                )
                for row in _not_newer(connection, view, batch, as_of_s)
            ]
            store._get_provider().online_write_batch(store.config, view, rows, None)
            written += len(rows)
    return written


@contextmanager
def _redis_told(view: "FeatureView") -> Iterator[None]:
    try:
        yield
    except FeatureStoreError:
        raise
    except Exception as error:  # redis and Feast have no error in common
        raise FeatureStoreError(
            f"cannot write {view.name} to Redis: {type(error).__name__}: {error}"
        ) from error


def _not_newer(
    connection: FeastConnection, view: "FeatureView", batch: Encoded, as_of_s: int
) -> list[int]:
    """Rows of the batch whose user has no newer row."""
    feature = next(name for name in batch.columns if name.endswith("as_of_s"))
    stored = connection.online_rows(view, [feature], batch.users)
    return [
        row
        for row, values in enumerate(stored)
        if values is None or values[feature].int64_val <= as_of_s
    ]


def _translated(error: sqlite3.Error, path: str) -> Exception:
    text = str(error)
    if "locked" in text or "busy" in text:
        return BusyError(f"{path} is locked by another writer; try again")
    if "full" in text or "readonly" in text:
        return StorageError(f"cannot write {path}: {text}; free some space")
    return FeatureStoreError(f"cannot write {path}: {text}; apply the encoder first")
