"""Evaluations side by side, as Markdown: a table for each refresh mode, a row for each model."""

from collections.abc import Iterator, Sequence

from homefeed.evaluation.report import Evaluation, compare

VIEW_TITLES = {
    "all": "all positives",
    "known": "items known at the cutoff",
    "new": "without repeats",
    "new_known": "without repeats, known",
}


def markdown(evaluations: Sequence[Evaluation], metric: str = "recall@10") -> str:
    """What was asked, then for each mode ``metric`` in every view, and the list metrics.

    All evaluations must be of the same cases. The first one's paired differences to the others
    come last.
    """
    return "\n".join(_lines(evaluations, metric)) + "\n"


def _lines(evaluations: Sequence[Evaluation], metric: str) -> Iterator[str]:
    report = evaluations[0].report
    yield (
        f"{report.users:,} users, {report.targets:,} positives in {report.horizon_days:g} days, "
        f"index of {report.index_size:,} of {report.catalogue_size:,} items; "
        f"{report.repeat_share:.1%} of a user's positives are repeats, {report.known_share:.1%} "
        f"of all are on known items; {report.users_without_history:,} users without history left "
        f"out. Topics: {report.topics}."
    )
    measured = report.measurements
    views = [v for v in VIEW_TITLES if any((m.view, m.metric) == (v, metric) for m in measured)]
    whole = [m for m in dict.fromkeys(m.metric for m in measured) if "@" in m and metric not in m]
    whole = [m for m in whole if not m.startswith("recall")]
    for mode in dict.fromkeys(m.mode for m in measured):
        columns = [f"{metric}, {VIEW_TITLES[v]}" for v in views] + ["percentile rank", *whole]
        yield ""
        yield f"| {mode} | " + " | ".join(columns) + " |"
        yield "|---" * (len(columns) + 1) + "|"
        for evaluation in evaluations:
            yield _row(evaluation, mode, metric, views, whole)
    yield from _differences(evaluations, metric)


def _row(evaluation: Evaluation, mode: str, metric: str, views: list[str], whole: list[str]) -> str:
    find = evaluation.report.find
    cells = [str(find(mode, view, metric)) for view in views]
    cells += [f"{find(mode, 'all', name).mean:.4f}" for name in ("percentile_rank", *whole)]
    return f"| {evaluation.report.model} | " + " | ".join(cells) + " |"


def _differences(evaluations: Sequence[Evaluation], metric: str) -> Iterator[str]:
    ours, *others = evaluations
    mode = ours.report.measurements[0].mode
    for other in others:
        difference = compare(ours, other, metric, mode=mode)
        yield ""
        yield f"{ours.report.model} minus {other.report.model}, {metric}, {mode}: {difference}"
