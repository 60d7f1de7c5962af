"""What a check found, as data: for the run's report, the command line and the refusal."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from homefeed.data.checks.marking import ROW_NUMBERS
from homefeed.data.tables import UNREADABLE
from homefeed.schema import ARRIVED_AT, CREATED_AT, TIMESTAMP

_SHOWN_CELL = 60


@dataclass(frozen=True, kw_only=True)
class ExpectationResult:
    """One expectation: how many rows broke it, how many might, and a few of them."""

    table: str
    name: str
    passed: bool
    broken: int  # rows
    rows: int
    limit: float  # largest share of rows that may break it
    reason: str = ""
    error: str | None = None  # what the engine said, where it failed
    examples: tuple[Mapping[str, Any], ...] = ()

    @property
    def share(self) -> float:
        """Share of the rows that broke it."""
        return self.broken / self.rows if self.rows else 0.0

    def sentence(self) -> str:
        """One line: what was expected, what was found, examples."""
        if self.error:
            return f"{self.table}: `{self.name}` could not be evaluated: {self.error}"
        text = (
            f"{self.table}: `{self.name}` fails for {self.broken:,} of {self.rows:,} rows "
            f"({100 * self.share:.3g} %, limit {100 * self.limit:g} %)"
        )
        shown = "; ".join(f"row {example_text(example)}" for example in self.examples)
        return f"{text}, e.g. {shown}" if shown else text


@dataclass(frozen=True, kw_only=True)
class TableReport:
    """Rows of one table: read, kept, and set aside by reason (a row may have several)."""

    read: int
    kept: int
    rejected: Mapping[str, int] = field(default_factory=dict)

    @property
    def why(self) -> str:
        """The reasons with their rows: ``user_id_missing 24, duplicate 3``."""
        return ", ".join(f"{reason} {rows:,}" for reason, rows in self.rejected.items())


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """The outcome of a check."""

    dataset: str
    fingerprint: str  # of what was checked
    tables: Mapping[str, TableReport]
    expectations: tuple[ExpectationResult, ...]
    notes: tuple[str, ...]  # what the adapter had to assume
    seconds: float

    @property
    def failures(self) -> tuple[ExpectationResult, ...]:
        """The expectations that refuse the data set."""
        return tuple(e for e in self.expectations if not e.passed)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**dataclasses.asdict(self), "passed": not self.failures}


def example_text(example: Mapping[str, Any]) -> str:
    """A row as short text: ``17 user_id=5 timestamp=2031-01-01T00:00:00+00:00 …``.

    A value that could not be read stands there as it was found.
    """
    parts = [str(example.get("row", ""))]
    lost = example.get(UNREADABLE) or ""
    for name, value in example.items():
        if name not in (*ROW_NUMBERS, UNREADABLE):
            cell = f"{name}={_cell(name, value)}"
            parts.append(lost if lost.startswith(f"{name}=") else cell)
    return " ".join(parts)


def _cell(name: str, value: Any) -> str:
    if name in (TIMESTAMP, ARRIVED_AT, CREATED_AT) and isinstance(value, int):
        try:
            return datetime.fromtimestamp(value / 1000, UTC).isoformat()
        except (ValueError, OverflowError, OSError):
            return f"{value} ms"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN_CELL else text[:_SHOWN_CELL] + "…"
