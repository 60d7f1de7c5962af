"""Put the pieces of a run on one page."""

from pathlib import Path

from homefeed.artifacts import write_json
from homefeed.report.page import summary, write_page
from homefeed.report.piece import read_piece


def report_step(pieces: list[Path], title: str, subtitle: str, out: Path, text: Path) -> None:
    """Write the HTML page at ``out`` and the summary as JSON at ``text``."""
    read = [read_piece(path) for path in pieces]
    write_page(read, out, title, subtitle)
    figures = [{"name": f.name, "value": f.value, "note": f.note} for p in read for f in p.figures]
    write_json(text, {"title": title, "figures": figures, "summary": summary(read)})
