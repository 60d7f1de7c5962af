"""Which rows break which rule: SQL over Parquet, in a DuckDB file that Great Expectations reads.

Every table is a view over its Parquet file with the row's number in the log as ``row``. The rows
that break any rule are in ``marks_<table>`` (row, mask), bit i of the mask standing for rule i;
there are few of them, so nothing here grows with the data beyond DuckDB's memory limit.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from homefeed.data.checks.rule import Rule, marked_by
from homefeed.schema import ITEMS

EXAMPLES = 2
ROW_NUMBERS = ("row", "file_row_number")


def duckdb_settings(folder: Path, memory_mb: int) -> dict[str, Any]:
    """How DuckDB is opened: bounded memory, and what does not fit goes to ``folder``.

    Every connection to one file has to be opened alike.
    """
    return {"memory_limit": f"{memory_mb}MB", "temp_directory": str(folder / "spill"), "threads": 2}


class Marks:
    """A DuckDB file with one view, and after ``mark`` one marks table, for each table."""

    def __init__(self, path: Path, memory_mb: int) -> None:
        import duckdb

        self.path = path
        self.settings = duckdb_settings(path.parent, memory_mb)
        self._connection = duckdb.connect(str(path), config=self.settings)

    def add_table(self, table: str, file: Path) -> None:
        """Make the Parquet ``file`` readable as ``table``."""
        self._connection.execute(
            f'CREATE VIEW {table} AS SELECT *, file_row_number AS "row" '
            f"FROM read_parquet({_text(file)}, file_row_number = true)"
        )

    def add_known_items(self, files: Sequence[Path], own_bits: int | None) -> None:
        """Make the table ``known_items``: the item_id of Parquet ``files`` and of the own items.

        ``own_bits`` are the bits of the masks that set one of the own items aside (they are not
        known then); None where the set has no items of its own.
        """
        parts = [f"SELECT item_id AS known FROM read_parquet({_text(file)})" for file in files]
        if own_bits is not None:
            parts.append(
                f'SELECT item_id AS known FROM {ITEMS} WHERE "row" NOT IN '
                f'(SELECT "row" FROM marks_{ITEMS} WHERE mask & {own_bits} <> 0)'
            )
        union = " UNION ALL ".join(parts)
        self._connection.execute(
            "CREATE TABLE known_items AS "
            f"SELECT DISTINCT known FROM ({union}) WHERE known IS NOT NULL"
        )

    def columns(self, table: str) -> tuple[str, ...]:
        """The columns of the table's file."""
        return tuple(name for name in self._names(table) if name not in ROW_NUMBERS)

    def _names(self, table: str) -> list[str]:
        return [name for name, *_ in self._connection.execute(f"DESCRIBE {table}").fetchall()]

    def value(self, query: str) -> Any:
        """Return the single value of a query."""
        return self._connection.execute(query).fetchone()[0]

    def count(self, table: str) -> int:
        """How many rows the table has."""
        return self.value(f"SELECT count(*) FROM {table}")

    def mark(self, table: str, rules: Sequence[Rule]) -> None:
        """Write ``marks_<table>``: the rows that break any of ``rules``, with their masks."""
        for statement in (s for rule in rules for s in rule.prepare):
            self._connection.execute(statement)
        bits = " | ".join(
            f"(CASE WHEN {rule.bad} THEN {1 << index}::BIGINT ELSE 0 END)"
            for index, rule in enumerate(rules)
        )
        self._connection.execute(
            f'CREATE TABLE marks_{table} AS SELECT "row", mask FROM '
            f'(SELECT "row", {bits} AS mask FROM {table}) WHERE mask <> 0'
        )

    def broken(self, table: str, rules: Sequence[Rule]) -> list[int]:
        """How many rows break each rule."""
        return [
            self.value(
                f"SELECT count(*) FROM marks_{table} WHERE mask & {marked_by(rules, index)} <> 0"
            )
            for index in range(len(rules))
        ]

    def examples(self, table: str, bits: int) -> list[Mapping[str, Any]]:
        """The first few rows, in the order of the log, whose masks share one of ``bits``."""
        names = self._names(table)
        result = self._connection.execute(
            f'SELECT * FROM {table} WHERE "row" IN (SELECT "row" FROM marks_{table} '
            f'WHERE mask & {bits} <> 0 ORDER BY "row" LIMIT {EXAMPLES}) ORDER BY "row"'
        )
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def masks(self, table: str) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers int64[n] in ascending order and their masks int64[n]."""
        found = self._connection.execute(
            f'SELECT "row", mask FROM marks_{table} ORDER BY "row"'
        ).fetchnumpy()
        return found["row"].astype(np.int64), found["mask"].astype(np.int64)

    def close(self) -> None:
        """Close the file, so that nothing is left to collect when Python ends."""
        self._connection.close()


@contextmanager
def marks_at(path: Path, memory_mb: int) -> Iterator[Marks]:
    """Open a new marks file and close it in the end."""
    marks = Marks(path, memory_mb)
    try:
        yield marks
    finally:
        marks.close()


def _text(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
