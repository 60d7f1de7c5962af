"""What the steps on data have to say: checks, sequences."""

from pathlib import Path

from homefeed.data.checks import CheckReport
from homefeed.data.sequences import SequenceStore
from homefeed.report.piece import Figure, Piece, Table


def check_piece(report: CheckReport, checked: Path) -> Piece:
    """The check: rows read and set aside, every expectation, what an adapter assumed."""
    read = sum(t.read for t in report.tables.values())
    kept = sum(t.kept for t in report.tables.values())
    rows = [
        {
            **{"table": e.table, "expectation": e.name, "bad rows": e.broken, "share": e.share},
            **{"limit": e.limit, "passed": e.passed},
        }
        for e in report.expectations
    ]
    tables = [
        {"table": name, "read": t.read, "kept": t.kept, "set aside": t.read - t.kept}
        for name, t in report.tables.items()
    ]
    return Piece(
        title=f"Check: {report.dataset}",
        figures=[
            Figure(
                name="rows checked",
                value=f"{read:,}",
                note=f"{read - kept:,} set aside with reasons, in {report.seconds:.0f} s",
            )
        ],
        notes=[*report.notes, f"Data Docs: {checked / 'data_docs' / 'index.html'}"],
        tables=[
            Table(title="Tables", rows=tables),
            Table(title="Expectations", rows=rows),
        ],
    )


def sequences_piece(store: SequenceStore) -> Piece:
    """The sequence store: its size and span."""
    m = store.meta
    days = (m.last_s - m.first_s) / 86_400
    return Piece(
        title="Sequences",
        figures=[
            Figure(
                name="actions",
                value=f"{m.action_count:,} of {m.user_count:,} users on {m.item_count:,} items",
                note=f"{days:.0f} days",
            )
        ],
    )
