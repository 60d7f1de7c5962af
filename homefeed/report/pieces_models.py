"""What the steps on models have to say: training curves and evaluations."""

from collections.abc import Sequence

from homefeed.evaluation.report import Evaluation, EvaluationReport, compare
from homefeed.report.piece import Bar, Figure, Line, Piece, Plot, Table, interval

HEADLINE = "recall@10"


def training_piece(title: str, metrics: Sequence[dict[str, float]]) -> Piece:
    """A fit: its loss over steps, and its speed."""
    steps = [m["step"] for m in metrics]
    speed = sorted(m["users_per_second"] for m in metrics)[len(metrics) // 2]
    return Piece(
        title=title,
        figures=[Figure(name="training speed", value=f"{speed:,.0f} users/s", note="median")],
        plots=[
            Plot(
                title="Training loss",
                x_label="step",
                lines=[Line(label="loss", x=steps, y=[m["loss"] for m in metrics])],
            )
        ],
    )


def evaluation_piece(evaluations: Sequence[Evaluation]) -> Piece:
    """The first evaluation is ours, the others are the baselines beside it."""
    ours, *others = evaluations
    r = ours.report
    figures = [_recall(ours)]
    for other in others:
        d = compare(ours, other, HEADLINE)
        figures.append(
            Figure(
                name=f"  minus {other.report.model}",
                value=interval(d.mean, d.low, d.high),
                note=f"paired, 95 %; {other.report.model} {_value(other):.4f}",
            )
        )
    rows = [
        {
            **{"model": e.report.model, "mode": m.mode, "positives": m.view, "metric": m.metric},
            **{"value": m.mean, "low": m.low, "high": m.high, "users": m.users},
        }
        for e in evaluations
        for m in e.report.measurements
    ]
    modes = dict.fromkeys(m.mode for m in r.measurements)
    return Piece(
        title="User encoder: evaluation on held-out users, after the cut-off",
        figures=figures,
        notes=[
            f"{r.users:,} held-out users with {r.targets:,} distinct positives in the "
            f"{r.horizon_days:.1f} days after the cut-off, against {r.index_size:,} items; "
            f"{100 * r.repeat_share:.1f} % repeats, {100 * r.known_share:.1f} % on items known at "
            f"the cut-off; {r.users_without_history:,} users without history left out.",
            "Ties count against a model. Refresh modes: once at the cut-off, daily with a full "
            "day's lag, realtime before each positive.",
            f"Interest entropy counts: {r.topics}.",
            *_drawn(r),
        ],
        plots=[
            Plot(
                title=f"Recall@10, {mode}",
                bars=[_bar(e, mode) for e in evaluations],
            )
            for mode in modes
        ],
        tables=[Table(title="All measurements", rows=rows)],
    )


def _drawn(report: EvaluationReport) -> list[str]:
    """Says so where a refresh mode was judged on a part of the users."""
    recall = [m for m in report.measurements if m.view == "all" and m.metric == "recall@10"]
    parts = [f"{m.mode} {m.users:,}" for m in recall if m.users < report.users]
    return [f"Users drawn for the modes that embed again: {', '.join(parts)}."] if parts else []


def _value(evaluation: Evaluation) -> float:
    return evaluation.report.find("once", "all", HEADLINE).mean


def _recall(evaluation: Evaluation) -> Figure:
    m = evaluation.report.find("once", "all", HEADLINE)
    return Figure(
        name=f"{evaluation.report.model} Recall@10",
        value=interval(m.mean, m.low or 0.0, m.high or 0.0),
        note=f"{m.users:,} held-out users, {evaluation.report.horizon_days:.0f} days ahead",
    )


def _bar(evaluation: Evaluation, mode: str) -> Bar:
    m = evaluation.report.find(mode, "all", HEADLINE)
    return Bar(label=evaluation.report.model, value=m.mean, low=m.low, high=m.high)
