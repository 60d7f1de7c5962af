"""What the rankers' training set has to say: its rows, and how they were drawn."""

from collections.abc import Mapping
from typing import Any

from homefeed.data.ranking_rows import EVALUATION, TRAIN
from homefeed.data.specification import DatasetSpec
from homefeed.data.training_set import TrainingSet
from homefeed.report.piece import Figure, Piece


def training_set_piece(made: TrainingSet, spec: DatasetSpec) -> Piece:
    """Rows of both windows; where candidates were sampled, that is said."""
    meta = made.meta
    rows = {split: len(made.rows_of(made.requests_of(split))) for split in (TRAIN, EVALUATION)}
    notes = [*spec.notes]
    if meta.sampling is not None:
        notes.append(
            "This set has no impressions: the ranker is trained and judged on positives with "
            f"{_drawn(meta.sampling)}. Its figures tell rankers apart on that task; they are "
            "no estimate of what a feed would get."
        )
    if meta.unmet_positives:
        notes.append(
            f"{meta.unmet_positives:,} positives were left out: nobody had acted on their item "
            "before that day, and candidates are drawn from items that somebody had acted on."
        )
    if any(share < 1 for share in meta.thinning.values()):
        notes.append(
            f"Drawn from more: {meta.thinning['requests']:.0%} of the requests to train on, "
            f"{meta.thinning['negatives']:.0%} of their impressions without a label (each weighted "
            f"for those it stands for), {meta.thinning['users']:.0%} of the users to evaluate on."
        )
    return Piece(
        title="Ranker: point-in-time training set",
        figures=[
            Figure(
                name="ranker rows",
                value=f"{rows[TRAIN]:,} to train, {rows[EVALUATION]:,} to evaluate",
                note="impressions" if meta.has_impressions else "positives, sampled candidates",
            )
        ],
        notes=notes,
    )


def _drawn(sampling: Mapping[str, Any]) -> str:
    """How the candidates beside a positive were drawn, in words."""
    most = sampling.get("max_requests")
    bound = f"; of all requests {most:,}, evenly over time" if most else ""
    return (
        f"{sampling['candidates']} sampled candidates a request "
        f"({100 * sampling['uniform_share']:.0f} % uniformly, the rest by popularity{bound})"
    )
