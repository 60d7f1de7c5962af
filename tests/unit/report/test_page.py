"""The report: one page that opens from disk."""

import re
from pathlib import Path

from homefeed.report.page import summary, write_page
from homefeed.report.piece import Bar, Figure, Line, Piece, Plot, Table, interval, read_piece

PIECE = Piece(
    title="User encoder",
    figures=[Figure(name="Recall@10", value=interval(0.05, 0.04, 0.06), note="held-out <users>")],
    notes=["Times before 25 April are unknown & masked."],
    tables=[Table(title="Baselines", rows=[{"name": "popularity", "recall": 0.0391, "n": 1200}])],
    plots=[
        Plot(title="Recall@10", bars=[Bar(label="ours <1>", value=0.05, low=0.04, high=0.06)]),
        Plot(
            title="Loss", lines=[Line(label="a", x=[1, 2], y=[3, 2]), Line(label="b", x=[1], y=[1])]
        ),
    ],
)


def test_a_piece_comes_back_from_disk_as_it_was_written(tmp_path: Path) -> None:
    PIECE.save(tmp_path / "piece.json")
    assert read_piece(tmp_path / "piece.json") == PIECE


def test_the_page_holds_its_plots_and_fetches_nothing(tmp_path: Path) -> None:
    write_page([PIECE], tmp_path / "report.html", "A run", "of a test")
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 2
    assert "0.0500 [0.0400, 0.0600]" in page
    assert "held-out &lt;users&gt;" in page
    assert not re.findall(r"<(?:script|link|img|iframe)|@import|(?:src|href)=\"http", page)


def test_the_summary_is_an_aligned_table() -> None:
    other = Piece(title="x", figures=[Figure(name="AUC", value="0.7")])
    lines = summary([PIECE, other]).splitlines()
    assert lines[0].index("0.0500") == lines[1].index("0.7")


def test_a_piece_of_figures_alone_has_no_heading_and_what_is_no_number_no_digits(
    tmp_path: Path,
) -> None:
    figures = Piece(title="Sequences", figures=[Figure(name="actions", value="7")])
    empty = Piece(title="Nothing", tables=[Table(title="None", rows=[])])
    rates = Table(title="Heads", rows=[{"ranker": "popularity", "ECE": float("nan")}])
    write_page([figures, empty, Piece(title="Ranker", tables=[rates])], tmp_path / "r.html", "", "")
    page = (tmp_path / "r.html").read_text()
    assert re.findall(r"<h2>(.*)</h2>", page) == ["Ranker"]
    assert '<td class="n">–</td>' in page
    assert "nan" not in page
    assert "<td>actions</td>" in page  # in the summary
