"""What the steps on data have to say: checks, sequences."""

from pathlib import Path

from homefeed.clock import DAY_S
from homefeed.data.checks import CheckReport
from homefeed.data.sequences import SequenceStore
from homefeed.data.sequences.layout import NEVER_MIN
from homefeed.evaluation.index import acted_on_items
from homefeed.report.piece import Figure, Piece, Table

TOO_LATE = (
    f"became known over {NEVER_MIN // (60 * 24)} days after their time and count for no request; "
    "where `arrived_at` is when a log was loaded, not when it was known, leave the column out"
)


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
    """The sequence store: its size and span, and what of the log takes no part."""
    m = store.meta
    days, items = (m.last_s - m.first_s) / DAY_S, len(acted_on_items(store))
    size = f"{m.action_count:,} of {m.user_count:,} users on {items:,} items"
    figures = [Figure(name="actions", value=size, note=f"{days:.0f} days")]
    if m.duplicate_count:
        note = f"{m.other_request_count:,} of them repeat an action under another request_id"
        rows = f"{m.duplicate_count:,} rows"
        figures.append(Figure(name="duplicates removed", value=rows, note=note))
    if m.never_count:
        figures.append(Figure(name="too late", value=f"{m.never_count:,} actions", note=TOO_LATE))
    return Piece(title="Sequences", figures=figures)
