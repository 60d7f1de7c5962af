"""What one step has to say: headline figures, tables and plots, as plain JSON."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from homefeed.artifacts import read_json, write_json


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One headline figure: a row of the summary table that ends a run."""

    name: str
    value: str  # formatted, with its interval where it has one
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of plain values; the columns are those of the first row."""

    title: str
    rows: list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One estimate with its interval."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Line:
    """One series over x."""

    label: str
    x: list[float]
    y: list[float]


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Estimates with intervals (``bars``) or series (``lines``)."""

    title: str
    x_label: str = ""
    y_label: str = ""
    bars: list[Bar] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    reference: float | None = None  # a line to compare with: zero lift, a perfect calibration


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One section of the report."""

    title: str
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # assumptions and caveats, in words
    tables: list[Table] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write the piece as JSON."""
        write_json(path, dataclasses.asdict(self))


def read_piece(path: Path) -> Piece:
    """Read a piece that ``Piece.save`` wrote."""
    values = read_json(path)
    return Piece(
        title=values["title"],
        figures=[Figure(**v) for v in values["figures"]],
        notes=values["notes"],
        tables=[Table(**v) for v in values["tables"]],
        plots=[_plot(v) for v in values["plots"]],
    )


def _plot(values: dict[str, Any]) -> Plot:
    bars = [Bar(**v) for v in values.pop("bars")]
    lines = [Line(**v) for v in values.pop("lines")]
    return Plot(**values, bars=bars, lines=lines)


def interval(value: float, low: float, high: float, digits: int = 4) -> str:
    """``0.0512 [0.0490, 0.0534]``."""
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
