"""Plots as inline SVG: they open from disk, scale, and need no network."""

import io
from typing import Any

from homefeed.report.piece import Plot

INK, ACCENT, QUIET = "#1f2430", "#c8102e", "#8a93a6"
COLOURS = ("#c8102e", "#1b6ca8", "#3a8f5d", "#b8860b", "#6b4fa0", "#51606e")


def draw(plot: Plot) -> str:
    """One plot as an SVG element."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    settings = {"font.size": 9, "axes.edgecolor": QUIET, "text.color": INK, "svg.hashsalt": "hf"}
    with pyplot.rc_context(settings):
        height = 0.9 + 0.34 * len(plot.bars) if plot.bars else 3.0
        figure, axes = pyplot.subplots(figsize=(6.4, max(height, 1.6)))
        (_bars if plot.bars else _lines)(axes, plot)
        axes.set_title(plot.title, loc="left", fontsize=10, color=INK)
        axes.set_xlabel(plot.x_label)
        axes.set_ylabel(plot.y_label)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        text = io.StringIO()
        figure.savefig(text, format="svg", bbox_inches="tight", metadata={"Date": None})
        pyplot.close(figure)
    svg = text.getvalue()
    return svg[svg.index("<svg") :]


def _bars(axes: Any, plot: Plot) -> None:
    for row, bar in enumerate(reversed(plot.bars)):
        colour = ACCENT if row == len(plot.bars) - 1 else INK
        if bar.low is not None and bar.high is not None:
            axes.plot([bar.low, bar.high], [row, row], color=colour, linewidth=2, alpha=0.5)
        axes.plot([bar.value], [row], "o", color=colour, markersize=6)
    axes.set_yticks(range(len(plot.bars)), [bar.label for bar in reversed(plot.bars)])
    axes.set_ylim(-0.6, len(plot.bars) - 0.4)
    axes.grid(axis="x", color=QUIET, alpha=0.25)
    if plot.reference is not None:
        axes.axvline(plot.reference, color=QUIET, linestyle="--", linewidth=1)


def _lines(axes: Any, plot: Plot) -> None:
    for line, colour in zip(plot.lines, COLOURS * 3, strict=False):
        axes.plot(line.x, line.y, label=line.label, color=colour, linewidth=1.6)
    axes.grid(color=QUIET, alpha=0.25)
    if plot.reference is not None:
        axes.axhline(plot.reference, color=QUIET, linestyle="--", linewidth=1)
    if len(plot.lines) > 1:
        axes.legend(frameon=False, fontsize=8)
