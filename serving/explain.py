"""The last explanations, for GET /v1/explain/{request_id}: bounded, shared by all workers.

They are for people who look at one answer; what must last is in the event log. So this file is
written without waiting for the disk, and holds the newest ``limit`` answers.
"""

import json
import sqlite3
import threading
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TRIM_EVERY = 256  # explanations written


class ExplanationStore:
    """A ring of explanations in SQLite, keyed by request id."""

    def __init__(self, path: Path, *, limit: int, trim_every: int = TRIM_EVERY) -> None:
        self.path, self.limit, self.trim_every = Path(path), limit, trim_every
        self._local = threading.local()
        self._written = 0
        self._connection().execute(
            "CREATE TABLE IF NOT EXISTS explanations "
            "(seq INTEGER PRIMARY KEY, request_id TEXT UNIQUE, body BLOB)"
        )

    def put(self, explanations: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep explanations by request id, forgetting the oldest above the limit."""
        connection = self._connection()
        rows = [(request_id, _packed(body)) for request_id, body in explanations.items()]
        connection.execute("BEGIN IMMEDIATE")
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

    def get(self, request_id: str) -> dict[str, Any] | None:
        """The explanation of one request; None where it is unknown or forgotten."""
        row = (
            self._connection()
            .execute("SELECT body FROM explanations WHERE request_id = ?", (request_id,))
            .fetchone()
        )
        return json.loads(zlib.decompress(row[0])) if row else None

    def _connection(self) -> sqlite3.Connection:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=5.0, isolation_level=None)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = OFF")
            self._local.connection = connection
        return connection


def _packed(body: Mapping[str, Any]) -> bytes:
    return zlib.compress(json.dumps(body, separators=(",", ":")).encode(), 1)
