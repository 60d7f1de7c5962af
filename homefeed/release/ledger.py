"""The ledger: an append-only table with compare-and-set, the truth about promotion.

Who, when, why, from which run and verdict, from which release to which. The state (champion,
previous, challenger) is never stored: it is what the entries say when they are read in order.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from homefeed.errors import ArtifactError, BusyError, LedgerConflict, ReleaseError, StorageError
from homefeed.release.entries import Action, LedgerEntry, LedgerState, fold
from homefeed.release.manifest import ReleaseManifest

BUSY_TIMEOUT_S = 10.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS releases (
  version INTEGER PRIMARY KEY, release_hash TEXT NOT NULL UNIQUE,
  manifest TEXT NOT NULL, registered_s REAL NOT NULL, run TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS entries (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, at_s REAL NOT NULL, who TEXT NOT NULL,
  action TEXT NOT NULL, from_version INTEGER, to_version INTEGER REFERENCES releases(version),
  reason TEXT NOT NULL, run TEXT NOT NULL, verdict TEXT NOT NULL
);
"""
_FORBID = """
CREATE TRIGGER IF NOT EXISTS {table}_no_{verb} BEFORE {verb} ON {table}
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""


class Ledger:
    """The promotion ledger in one SQLite file (write-ahead log: readers never wait)."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    # --- releases ---

    def add_release(
        self, version: int, manifest: ReleaseManifest, *, at_s: float, run: str = ""
    ) -> None:
        """Record that ``manifest`` is this version. Recording the same again changes nothing."""
        text = json.dumps(manifest.to_json(), sort_keys=True)
        with self._transaction() as connection:
            known = connection.execute(
                "SELECT version, release_hash FROM releases WHERE version = ? OR release_hash = ?",
                (version, manifest.release_hash),
            ).fetchone()
            if known == (version, manifest.release_hash):
                return
            if known is not None:
                raise LedgerConflict(
                    f"version {known[0]} is release {known[1]}; refused to record version "
                    f"{version} as {manifest.release_hash}: the registry and the ledger belong to "
                    "different workspaces"
                )
            connection.execute(
                "INSERT INTO releases VALUES (?, ?, ?, ?, ?)",
                (version, manifest.release_hash, text, at_s, run),
            )

    def version_of(self, release_hash: str) -> int | None:
        """The version under which a release is recorded; None where it is not."""
        rows = self._read("SELECT version FROM releases WHERE release_hash = ?", (release_hash,))
        return rows[0][0] if rows else None

    def versions(self) -> list[int]:
        """All recorded versions, ascending."""
        return [row[0] for row in self._read("SELECT version FROM releases ORDER BY version")]

    def manifest(self, version: int) -> ReleaseManifest:
        """The manifest of a version. Raises ReleaseError where there is none."""
        rows = self._read("SELECT manifest FROM releases WHERE version = ?", (version,))
        if not rows:
            known = ", ".join(map(str, self.versions())) or "none; make one with `homefeed run`"
            raise ReleaseError(f"there is no release version {version}; known: {known}")
        return ReleaseManifest.from_json(json.loads(rows[0][0]))

    # --- promotion ---

    def append(
        self,
        action: Action,
        decide: Callable[[LedgerState], int | None],
        *,
        at_s: float,
        who: str,
        reason: str,
        run: str = "",
        verdict: dict[str, Any] | None = None,
        expected: LedgerState | None = None,
    ) -> LedgerEntry:
        """Compare-and-set: append one entry if champion is still as ``expected``.

        ``decide`` sees the state inside the transaction and returns the release to move to; it
        raises to refuse. Raises LedgerConflict where another writer moved the champion since
        ``expected`` was read, BusyError where the file stayed locked.
        """
        with self._transaction() as connection:
            state = fold(_entries(connection))
            if expected is not None and state.champion_seq != expected.champion_seq:
                raise LedgerConflict(
                    f"champion is now {_named(state.champion)} (entry {state.champion_seq}), "
                    f"{_named(expected.champion)} was expected (entry {expected.champion_seq}): "
                    "somebody else was first; look at `homefeed history`, then decide again"
                )
            to_version = decide(state)
            reason = reason.encode(errors="backslashreplace").decode()  # a shell may give any bytes
            row = (at_s, who, action.value, state.champion, to_version, reason, run,
                   json.dumps(verdict or {}, sort_keys=True))  # fmt: skip
            cursor = connection.execute(
                "INSERT INTO entries (at_s, who, action, from_version, to_version, reason, run, "
                "verdict) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
            return _entry((cursor.lastrowid, *row))

    def entries(self) -> list[LedgerEntry]:
        """All entries, oldest first; none where the ledger does not exist yet."""
        return [_entry(row) for row in self._read(_SELECT)]

    def state(self) -> LedgerState:
        """Champion, previous and challenger as the entries say."""
        return fold(self.entries())

    # --- SQLite ---

    def _read(self, statement: str, values: Sequence[Any] = ()) -> list[tuple]:
        if not self.path.exists():
            return []
        with self._connection() as connection:
            # The first writer makes file and tables in one transaction: who reads in between, or
            # after it was killed there, finds a file without tables.
            if not connection.execute(_HAS_TABLES).fetchone():
                return []
            return connection.execute(statement, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._connection() as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("BEGIN IMMEDIATE")  # one writer from here on
            try:
                _create(connection)
                yield connection
            except BaseException:
                if connection.in_transaction:  # SQLite itself goes back after some errors
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        connection = None
        try:
            connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            connection.execute("PRAGMA synchronous=FULL")  # a promotion survives a power cut
            yield connection
        except sqlite3.DatabaseError as error:
            raise _translated(error, self.path) from error
        finally:
            if connection is not None:
                connection.close()


_HAS_TABLES = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'entries'"
_SELECT = (
    "SELECT seq, at_s, who, action, from_version, to_version, reason, run, verdict "
    "FROM entries ORDER BY seq"
)


def _create(connection: sqlite3.Connection) -> None:
    for statement in filter(str.strip, _SCHEMA.split(";")):
        connection.execute(statement)
    for table in ("releases", "entries"):
        for verb in ("UPDATE", "DELETE"):
            connection.execute(_FORBID.format(table=table, verb=verb))


def _entries(connection: sqlite3.Connection) -> list[LedgerEntry]:
    return [_entry(row) for row in connection.execute(_SELECT)]


def _entry(row: tuple) -> LedgerEntry:
    seq, at_s, who, action, from_version, to_version, reason, run, verdict = row
    return LedgerEntry(
        seq=seq, at_s=at_s, who=who, action=Action(action), from_version=from_version,
        to_version=to_version, reason=reason, run=run, verdict=json.loads(verdict),
    )  # fmt: skip


def _named(version: int | None) -> str:
    return "none" if version is None else f"version {version}"


def _translated(error: sqlite3.DatabaseError, path: Path) -> Exception:
    text = str(error)
    if "locked" in text or "busy" in text:
        return BusyError(f"the ledger {path} is locked by another writer; try again")
    if "full" in text or "readonly" in text or "unable to open" in text:
        return StorageError(f"cannot write the ledger {path}: {text}; free space or fix its rights")
    return ArtifactError(f"the ledger {path} cannot be read: {text}; restore it from a backup")
