"""What the steps on rankers have to say: the training set, HIT@3, AUC and calibration."""

from collections.abc import Iterator, Sequence

from homefeed.data.training_set import TrainingSet
from homefeed.evaluation.ranking import POPULARITY, RankingReport
from homefeed.report.piece import Bar, Figure, Piece, Plot, Table, interval

BEST, WITHOUT_SEQUENCE = "full", "pinnerformer"
SHOWN_HEADS = 2  # with a headline figure and a plot each; the table has them all


def ranking_piece(report: RankingReport, made: TrainingSet, heads: Sequence[str]) -> Piece:
    """HIT@3 of the full ranker beside popularity and the ranker without sequence, per head."""
    lists = {
        "user": "each user's impressions of the evaluation days form one list (requests hold too "
        "few to be ranked), ordered by relevance, the user's own level of the moment left out; "
        "lists of more than 3 with mixed labels count",
        "request": "each request is a list; lists of more than 3 with mixed labels count",
    }[report.lists]
    rows = [
        {
            **{"ranker": ranker, "head": head, "HIT@3": f.hit.mean, "low": f.hit.low},
            **{"high": f.hit.high, "AUC": f.auc, "ECE": f.ece, "predicted/observed": f.ratio},
        }
        for head in heads
        for ranker, per_head in report.figures.items()
        for f in [per_head[head]]
    ]
    shown = heads[:SHOWN_HEADS]
    return Piece(
        title="Ranker: evaluation on a later window than training",
        figures=[figure for head in shown for figure in _hits(report, head)],
        notes=[f"HIT@3: {lists}. Ties count against a ranker. Averages are per user."],
        plots=[_plot(report, head) for head in shown],
        tables=[Table(title="All rankers and heads", rows=rows)],
    )


def _hits(report: RankingReport, head: str) -> Iterator[Figure]:
    """HIT@3 of the full ranker on one head, and its paired differences to the others'."""
    best = report.figures[BEST][head]
    yield Figure(
        name=f"HIT@3 {head}",
        value=interval(best.hit.mean, best.hit.low, best.hit.high),
        note=f"{len(best.users.value):,} users; AUC {best.auc:.3f}",
    )
    for other, words in ((POPULARITY, "popularity"), (WITHOUT_SEQUENCE, "no sequence")):
        d = report.difference(BEST, other, head)
        yield Figure(
            name=f"  minus {words}", value=interval(d.mean, d.low, d.high), note="paired, 95 %"
        )


def _plot(report: RankingReport, head: str) -> Plot:
    hits = {ranker: figures[head].hit for ranker, figures in report.figures.items()}
    bars = [Bar(label=name, value=h.mean, low=h.low, high=h.high) for name, h in hits.items()]
    return Plot(title=f"HIT@3, {head}", bars=bars)
