"""The last explanations, for GET /v1/explain/{request_id}: bounded, shared by all workers.

They are for people who look at one answer; what must last is in the event log. So this file is
written without waiting for the disk, and holds the newest ``limit`` answers. Whatever is wrong
with it costs explanations and a line in the log, never an answer.
"""

import json
import logging
import queue
import sqlite3
import threading
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

logger = logging.getLogger("homefeed.serving")

TRIM_EVERY = 256  # explanations written
MOST_WAITING = 1024  # explanations that a slow file may hold up in memory
_LOCK_TIMEOUT_S = 10.0
_TABLE = (
    "CREATE TABLE IF NOT EXISTS explanations "
    "(seq INTEGER PRIMARY KEY, request_id TEXT UNIQUE, body BLOB)"
)


class ExplanationStore:
    """A ring of explanations in SQLite, keyed by request id."""

    def __init__(
        self,
        path: Path,
        *,
        limit: int,
        trim_every: int = TRIM_EVERY,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self.path, self.limit = Path(path), limit
        self.trim_every, self.most_waiting = trim_every, most_waiting
        self._local = threading.local()
        self._written = 0
        self._waiting: dict[str, Mapping[str, Any]] = {}  # offered, not written yet
        self._queue: queue.SimpleQueue[Mapping[str, Mapping[str, Any]] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()  # of ``_waiting`` and ``_thread``
        self._thread: threading.Thread | None = None
        self._failing = False
        self._open_or_recreate()

    def offer(self, explanations: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep explanations soon, from a thread of its own: who offers never waits for the file.

        ``get`` finds them at once. Those that a slow file has no room for are forgotten.
        """
        with self._lock:
            if len(self._waiting) + len(explanations) > self.most_waiting:
                self._tell("the file is slow")
                return
            self._waiting.update(explanations)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="explain", daemon=True)
                self._thread.start()
            self._queue.put(explanations)

    def close(self) -> None:
        """Write what was offered and stop the thread."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join(timeout=10)

    def put(self, explanations: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep explanations by request id, forgetting the oldest above the limit."""
        connection = self._connection()
        rows = [(request_id, _packed(body)) for request_id, body in explanations.items()]
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(
                "INSERT OR REPLACE INTO explanations (request_id, body) VALUES (?, ?)", rows
            )
            self._written += len(rows)
            if self._written >= self.trim_every:
                self._written = 0
                connection.execute(
                    "DELETE FROM explanations WHERE seq <= (SELECT max(seq) FROM explanations) - ?",
                    (self.limit,),
                )
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # left open, it would refuse every later one
                connection.execute("ROLLBACK")
            raise

    def get(self, request_id: str) -> dict[str, Any] | None:
        """The explanation of one request; None where it is unknown, forgotten or unreadable."""
        waiting = self._waiting.get(request_id)
        if waiting is not None:
            return json.loads(json.dumps(waiting))
        query = "SELECT body FROM explanations WHERE request_id = ?"
        try:
            row = self._connection().execute(query, (request_id,)).fetchone()
        except (sqlite3.DatabaseError, OSError) as error:
            self._tell(error)
            return None
        return json.loads(zlib.decompress(row[0])) if row else None

    def _run(self) -> None:
        while (explanations := self._queue.get()) is not None:
            try:
                self.put(explanations)
                self._failing = False
            except Exception as error:  # the thread must live to write the next ones
                self._tell(error)
            finally:
                with self._lock:
                    for request_id in explanations:
                        self._waiting.pop(request_id, None)

    def _tell(self, why: object) -> None:
        """Say once that explanations are lost, until they are kept again."""
        if not self._failing:
            logger.warning(
                "explanations are not kept in %s: %s; where this does not end, stop the server "
                "and remove the file",
                *(self.path, why),
            )
        self._failing = True

    def _open_or_recreate(self) -> None:
        try:
            self._connection()
        except (sqlite3.DatabaseError, OSError) as error:
            if not _is_damaged(error):
                self._tell(error)  # full, locked or not writable: each use tries again
                return
            try:
                self._recreate()
            except (sqlite3.DatabaseError, OSError) as other:  # Timeout of the lock is an OSError
                self._tell(other)

    def _recreate(self) -> None:
        """Begin a new file in place of a damaged one; of several workers, one does."""
        with FileLock(f"{self.path}.lock", timeout=_LOCK_TIMEOUT_S):
            try:
                self._connection()
            except sqlite3.DatabaseError as error:
                if not _is_damaged(error):
                    raise
                logger.warning("%s is damaged (%s): explanations begin anew", self.path, error)
                for end in ("", "-wal", "-shm"):
                    Path(f"{self.path}{end}").unlink(missing_ok=True)
                self._connection()

    def _connection(self) -> sqlite3.Connection:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = _opened(self.path)
        return connection


def _opened(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=5.0, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(_TABLE)
    except BaseException:
        connection.close()
        raise
    return connection


def _is_damaged(error: Exception) -> bool:
    text = str(error)
    return "not a database" in text or "malformed" in text


def _packed(body: Mapping[str, Any]) -> bytes:
    return zlib.compress(json.dumps(body, separators=(",", ":")).encode(), 1)
