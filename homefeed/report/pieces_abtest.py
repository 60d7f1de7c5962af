"""What an A/B test, or a paired re-ranking, has to say."""

from collections.abc import Sequence

from homefeed.abtest.analysis import Analysis, Comparison
from homefeed.abtest.definition import Definition
from homefeed.abtest.exposure import Outcomes
from homefeed.abtest.reranking import PairedAnalysis
from homefeed.abtest.verdict import Verdict
from homefeed.report.piece import Bar, Figure, Piece, Plot, Table


def live_piece(
    analysis: Analysis, verdict: Verdict, definition: Definition, outcomes: Outcomes
) -> Piece:
    """A live test: lift per metric with its interval, the split, the verdict."""
    split = analysis.sample_ratio
    requests = {
        arm: int(outcomes.requests[outcomes.arm == i].sum()) for i, arm in enumerate(outcomes.arms)
    }
    users = [
        {"arm": arm, "users": n, "expected": split.expected[arm], "requests": requests[arm]}
        for arm, n in split.users.items()
    ]
    return Piece(
        title="A/B test: simulated users on the live server",
        figures=[
            *_lifts(analysis.primary),
            Figure(
                name="sample ratio",
                value="mismatch" if split.mismatch else "as planned",
                note=f"p = {split.p_value:.3f}; {sum(split.users.values()):,} users exposed, "
                f"{analysis.crossed_users} in two arms",
            ),
            _verdict(verdict),
        ],
        notes=[
            f"Primary metric: {definition.primary.name}; intervals at "
            f"{100 * analysis.primary[0].confidence:.1f} % (corrected for "
            f"{len(definition.treatments)} treatments), users as clusters, for one look at the end."
        ],
        tables=[
            Table(title="Users", rows=users),
            Table(title="Metrics", rows=_rows([*analysis.primary, *analysis.guardrails])),
        ],
        plots=[_plot(analysis.primary)],
    )


def reranking_piece(analysis: PairedAnalysis, verdict: Verdict, lists: str) -> Piece:
    """A paired re-ranking of recorded impressions."""
    formed = {
        "user": "Each user's impressions of the evaluation days form one list; lists with more "
        "than 3 impressions and mixed labels count.",
        "request": "Each recorded request is a list; lists with more than 3 impressions and mixed "
        "labels count.",
    }[lists]
    return Piece(
        title="Paired re-ranking (no live A/B test: nobody saw these orders)",
        figures=[*_lifts(analysis.primary), _verdict(verdict)],
        notes=[
            formed,
            "Every impression is scored with the features of its own moment. An arm puts a list in "
            "one order, as it would serve it: by the sum of what its heads expect, dislikes "
            "against. The orders are compared on the recorded labels, user by user. There is no "
            "split of users to check, and no claim about what users would have done with another "
            "order.",
        ],
        tables=[
            Table(title="Metrics", rows=_rows([*analysis.primary, *analysis.guardrails])),
        ],
        plots=[_plot(analysis.primary)],
    )


def no_test_piece(reason: str) -> Piece:
    """A set without impressions: no comparison of arms."""
    return Piece(
        title="A/B test",
        figures=[Figure(name="verdict", value="hold", note=reason)],
        notes=[f"No test: {reason}. Serve the champion and log impressions to have one."],
    )


def promotion_piece(champion: int | None, said: str) -> Piece:
    """Who is champion once the verdict is carried out."""
    return Piece(
        title="Promotion: what the verdict was worth",
        figures=[Figure(name="champion now", value=f"release {champion}", note=said)],
    )


def _lifts(comparisons: Sequence[Comparison]) -> list[Figure]:
    return [
        Figure(
            name=f"lift of {c.arm}",
            value=str(c),
            note=f"{c.metric}: {c.value:.4f} against {c.control_value:.4f} ({c.control})",
        )
        for c in comparisons
    ]


def _verdict(verdict: Verdict) -> Figure:
    arm = f" {verdict.arm}" if verdict.arm else ""
    return Figure(name="verdict", value=f"{verdict.decision}{arm}", note="; ".join(verdict.reasons))


def _rows(comparisons: Sequence[Comparison]) -> list[dict]:
    return [
        {
            **{"metric": c.metric, "arm": c.arm, "value": c.value, "control": c.control_value},
            **{"lift": c.lift, "low": c.low, "high": c.high, "users": c.users},
        }
        for c in comparisons
    ]


def _plot(comparisons: Sequence[Comparison]) -> Plot:
    return Plot(
        title=f"Lift over {comparisons[0].control}: {comparisons[0].metric}",
        x_label="relative lift",
        bars=[Bar(label=c.arm, value=c.lift, low=c.low, high=c.high) for c in comparisons],
        reference=0.0,
    )
