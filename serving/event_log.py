"""The durable log of actions and exposures: SQLite in write-ahead mode.

Every action gets a sequence number. SQLite lets one transaction write at a time and numbers rows
inside it, so numbers become visible in their order: a reader of number n has read all up to n.
That makes the number a watermark: a published sequence row that carries n holds every action up to
n, and what comes after n is merged on read.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from homefeed.errors import ArtifactError, BusyError, StorageError
from serving.logged import Action, Appended, Exposure

LOG_VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS actions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL UNIQUE,
    user_id TEXT NOT NULL, item_id TEXT NOT NULL, action_type TEXT NOT NULL,
    time_ms INTEGER NOT NULL, duration_s REAL NOT NULL, surface TEXT NOT NULL,
    request_id TEXT, arrived_ms INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS actions_by_user ON actions (user_id, seq);
CREATE TABLE IF NOT EXISTS exposures (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    request_id TEXT NOT NULL UNIQUE,
    endpoint TEXT NOT NULL, user_id TEXT NOT NULL, time_ms INTEGER NOT NULL,
    surface TEXT NOT NULL, test TEXT, arm TEXT, release_version INTEGER,
    release_hash TEXT, degraded TEXT, items TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS exposures_by_user ON exposures (user_id, time_ms);
CREATE INDEX IF NOT EXISTS exposures_by_test ON exposures (test, seq);
"""
_ACTION_COLUMNS = (
    "event_id, user_id, item_id, action_type, time_ms, duration_s, surface, request_id, arrived_ms"
)
_EXPOSURE_COLUMNS = (
    "request_id, endpoint, user_id, time_ms, surface, test, arm, release_version, release_hash, "
    "degraded, items"
)


class EventLog:
    """Appends durably, reads without waiting for writers; safe for threads and processes."""

    def __init__(self, path: Path, *, synchronous: str = "FULL", wait_s: float = 5.0) -> None:
        """``wait_s``: how long to wait for another writer to let go of the file."""
        self.path = Path(path)
        self._synchronous, self._wait_s = synchronous, wait_s
        self._local = threading.local()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot make {self.path.parent}: {error.strerror}") from error
        _create(self._connection(), self.path, self._wait_s)

    # --- writing -------------------------------------------------------------------------

    def append(
        self, actions: Sequence[Action] = (), exposures: Sequence[Exposure] = ()
    ) -> list[Appended]:
        """Write all in one transaction; on return it survives a crash of this process.

        With ``synchronous=FULL`` it survives a loss of power as well. Returns one result per
        action. Raises StorageError (full disk), ArtifactError (a damaged file), BusyError (another
        writer held the file for ``wait_s``).
        """
        connection = self._connection()
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                results = [_insert_action(connection, action) for action in actions]
                connection.executemany(
                    f"INSERT INTO exposures ({_EXPOSURE_COLUMNS}) VALUES ({_marks(11)}) "
                    "ON CONFLICT (request_id) DO NOTHING",
                    [_exposure_row(exposure) for exposure in exposures],
                )
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.DatabaseError as error:
            if type(error) not in (sqlite3.OperationalError, sqlite3.DatabaseError):
                raise  # a row that cannot be written: the file is sound
            raise _storage_error(self.path, error, self._wait_s) from error
        return results

    # --- reading -------------------------------------------------------------------------

    def watermark(self) -> int:
        """The newest action's sequence number; 0 in an empty log."""
        return self._connection().execute("SELECT max(seq) FROM actions").fetchone()[0] or 0

    def actions_of(self, user_id: str, *, after: int = 0, limit: int = 2000) -> list[Action]:
        """The user's newest ``limit`` actions with a number above ``after``, by that number."""
        rows = self._connection().execute(
            f"SELECT {_ACTION_COLUMNS}, seq FROM actions WHERE user_id = ? AND seq > ? "
            "ORDER BY seq DESC LIMIT ?",
            (user_id, after, limit),
        )
        return [_action(row) for row in rows.fetchall()[::-1]]

    def shown_to(
        self, user_id: str, *, since_ms: int, before_ms: int, feeds: int = 200
    ) -> dict[str, int]:
        """Typed items that feeds showed this user in ``[since, before)`` → when last, ms.

        The newest ``feeds`` are looked at: a user who never stops must not slow every request.
        """
        rows = self._connection().execute(
            "SELECT time_ms, items FROM exposures WHERE user_id = ? AND time_ms >= ? "
            "AND time_ms < ? AND endpoint = 'feed' ORDER BY time_ms DESC LIMIT ?",
            (user_id, since_ms, before_ms, feeds),
        )
        return {
            item[0]: time_ms
            for time_ms, items in rows.fetchall()[::-1]
            for item in json.loads(items)
        }

    def actions(self, *, after: int = 0, upto: int | None = None) -> Iterable[Action]:
        """All actions with ``after < seq <= upto``, in order."""
        upto = self.watermark() if upto is None else upto
        rows = self._connection().execute(
            f"SELECT {_ACTION_COLUMNS}, seq FROM actions WHERE seq > ? AND seq <= ? ORDER BY seq",
            (after, upto),
        )
        return map(_action, rows)

    def exposures(self, *, test: str | None = None) -> Iterable[Exposure]:
        """All exposures, or those of one test, in the order they were logged."""
        where, values = ("WHERE test = ?", (test,)) if test is not None else ("", ())
        rows = self._connection().execute(
            f"SELECT {_EXPOSURE_COLUMNS} FROM exposures {where} ORDER BY seq", values
        )
        return map(_exposure, rows)

    def close(self) -> None:
        """Close this thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            del self._local.connection

    def _connection(self) -> sqlite3.Connection:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = _connect(self.path, self._synchronous, self._wait_s)
            self._local.connection = connection
        return connection


def _connect(path: Path, synchronous: str, wait_s: float) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(path, timeout=wait_s, isolation_level=None)
        _write_ahead(connection)
        connection.execute(f"PRAGMA synchronous = {synchronous}")
    except sqlite3.DatabaseError as error:
        raise _storage_error(path, error, wait_s) from error
    return connection


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead mode: two processes that do it at once need a second try."""
    for attempt in range(50):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or attempt == 49:
                raise
            time.sleep(0.02)


def _create(connection: sqlite3.Connection, path: Path, wait_s: float) -> None:
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == LOG_VERSION:
            return
        if version != 0:
            raise ArtifactError(
                f"{path} is an event log of version {version}, this code reads {LOG_VERSION}; "
                "use the homefeed that wrote it or move the file away"
            )
        statements = "".join(f"{s.strip()};" for s in _SCHEMA.split(";") if s.strip())
        connection.executescript(
            f"BEGIN IMMEDIATE; {statements} PRAGMA user_version = {LOG_VERSION}; COMMIT;"
        )
    except sqlite3.DatabaseError as error:
        raise _storage_error(path, error, wait_s) from error


def _insert_action(connection: sqlite3.Connection, action: Action) -> Appended:
    row = connection.execute(
        f"INSERT INTO actions ({_ACTION_COLUMNS}) VALUES ({_marks(9)}) "
        "ON CONFLICT (event_id) DO NOTHING RETURNING seq",
        (
            action.event_id,
            action.user_id,
            action.item_id,
            action.action_type,
            action.time_ms,
            action.duration_s,
            action.surface,
            action.request_id,
            action.arrived_ms,
        ),
    ).fetchone()
    if row is not None:
        return Appended("accepted", row[0])
    first = _action(
        connection.execute(
            f"SELECT {_ACTION_COLUMNS}, seq FROM actions WHERE event_id = ?", (action.event_id,)
        ).fetchone()
    )
    return Appended("duplicate" if action.same_event(first) else "conflict", first.seq)


def _action(row: tuple) -> Action:
    event_id, user, item, kind, time_ms, duration_s, surface, request_id, arrived_ms, seq = row
    return Action(
        event_id=event_id,
        user_id=user,
        item_id=item,
        action_type=kind,
        time_ms=time_ms,
        duration_s=duration_s,
        surface=surface,
        request_id=request_id,
        arrived_ms=arrived_ms,
        seq=seq,
    )


def _exposure_row(exposure: Exposure) -> tuple:
    columns = [name.strip() for name in _EXPOSURE_COLUMNS.split(",")]
    values = [getattr(exposure, name) for name in columns[:-1]]
    return (*values, json.dumps(exposure.items, separators=(",", ":")))


def _exposure(row: tuple) -> Exposure:
    columns = [name.strip() for name in _EXPOSURE_COLUMNS.split(",")]
    values = dict(zip(columns, row, strict=True))
    items = tuple((item, score, source) for item, score, source in json.loads(values.pop("items")))
    return Exposure(**values, items=items)


def _marks(count: int) -> str:
    return ", ".join("?" * count)


def _storage_error(path: Path, error: sqlite3.DatabaseError, wait_s: float) -> Exception:
    text = str(error)
    if "locked" in text or "busy" in text:
        return BusyError(f"{path} was locked by another writer for {wait_s:g} s; try again")
    if "not a database" in text or "malformed" in text:
        return ArtifactError(f"{path} is not an event log, or damaged ({text}); move it away")
    return StorageError(f"cannot write {path}: {text}; free some space or make it writable")
