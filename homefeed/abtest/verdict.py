"""Ship, hold or roll back: the rule, and the reasons in words.

For each treatment, in this order:

1. hold    the split cannot be believed (sample-ratio mismatch, wrong releases, many crossed users)
2. hold    fewer than ``min_users`` in an arm; the power calculation says how many are needed
3. rollback  the primary metric is significantly worse, or a guardrail is significantly beyond
             ``max_harm``, tested as a difference: a control with few events or none hides no harm
4. ship    the interval of the primary's difference lies above zero, and the lift reaches
             ``min_effect``
5. hold    anything else; with how many users the planned effect needs

A test ships the shipping arm with the highest lower bound, rolls back if every treatment does,
and holds otherwise. Before the planned end (``interim``) nothing ships: the intervals are for one
look, and looking often finds effects that are not there.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from homefeed.abtest.analysis import Analysis, Comparison
from homefeed.abtest.definition import Definition, Metric
from homefeed.abtest.power import sample_size
from homefeed.errors import ArtifactError

SHIP, HOLD, ROLLBACK = "ship", "hold", "rollback"
MAX_CROSSED_SHARE = 0.01  # of exposed users; more means that assignment is not stable


@dataclass(frozen=True, kw_only=True)
class ArmVerdict:
    """What is decided about one treatment."""

    arm: str
    decision: str  # ship, hold or rollback
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is decided about the test."""

    test: str
    decision: str  # ship, hold or rollback
    arm: str | None  # the arm to ship
    release: int | None  # and its release version
    reasons: tuple[str, ...]
    arms: tuple[ArmVerdict, ...]


def decide(definition: Definition, analysis: Analysis, *, interim: bool = False) -> Verdict:
    """Apply the rule to an analysis of a live test."""
    doubts = _doubts(definition, analysis)
    arms = []
    for primary in analysis.primary:
        few = _too_few(definition, analysis, primary)
        if doubts or few:
            arms.append(ArmVerdict(arm=primary.arm, decision=HOLD, reasons=(*doubts, *few)))
            continue
        guardrails = [c for c in analysis.guardrails if c.arm == primary.arm]
        verdict = judge_arm(definition, primary, guardrails)
        if verdict.decision == HOLD:
            needed = _needed(definition, analysis, primary)
            verdict = _with(verdict, HOLD, *verdict.reasons, *needed)
        if interim and verdict.decision != HOLD:
            early = "the planned end is not reached: intervals hold for one look, at the end"
            decision = HOLD if verdict.decision == SHIP else ROLLBACK
            verdict = _with(verdict, decision, early, *verdict.reasons)
        arms.append(verdict)
    return combine(definition, analysis.primary, arms)


def judge_arm(
    definition: Definition, primary: Comparison, guardrails: Sequence[Comparison]
) -> ArmVerdict:
    """Rules 3 to 5 for one treatment; also those of a paired re-ranking."""
    metrics = {metric.name: metric for metric in definition.metrics}
    low, high = better_interval(metrics[primary.metric], primary)
    broken = [c for c in guardrails if _is_broken(metrics[c.metric], c)]
    if broken or high < 0:
        worse = [f"{c.metric} is worse: {_told(metrics[c.metric], c)}" for c in broken]
        if high < 0:
            worse.insert(0, f"{primary.metric} is significantly worse: {primary}")
        return ArmVerdict(arm=primary.arm, decision=ROLLBACK, reasons=tuple(worse))
    gain = primary.lift if metrics[primary.metric].direction == "up" else -primary.lift
    if low > 0 and gain >= definition.min_effect:
        kept = "; no guardrail is significantly worse" if guardrails else ""
        reason = f"{primary.metric} {primary}{kept}"
        return ArmVerdict(arm=primary.arm, decision=SHIP, reasons=(reason,))
    if primary.lift != primary.lift:
        why = "has no lift: it is 0 or unknown in the control"
    elif low > 0:
        why = f"is better, but below the minimum effect of {definition.min_effect:.1%}"
    else:
        why = "shows no difference: the interval holds zero"
    reason = f"{primary.metric} {why}: {primary}"
    return ArmVerdict(arm=primary.arm, decision=HOLD, reasons=(reason,))


def combine(
    definition: Definition, primary: Sequence[Comparison], arms: Sequence[ArmVerdict]
) -> Verdict:
    """One decision from those of the treatments."""
    bounds = {c.arm: better_interval(definition.primary, c)[0] for c in primary}
    shipping = [verdict for verdict in arms if verdict.decision == SHIP]
    decision, arm = HOLD, None
    if shipping:
        arm = max(shipping, key=lambda verdict: bounds[verdict.arm]).arm
        decision = SHIP
    elif all(verdict.decision == ROLLBACK for verdict in arms):
        decision = ROLLBACK
    told = [v for v in arms if v.arm == arm] if arm else arms
    return Verdict(
        test=definition.name,
        decision=decision,
        arm=arm,
        release=definition.arms[arm].release if arm else None,
        reasons=tuple(f"{v.arm}: {reason}" for v in told for reason in v.reasons),
        arms=tuple(arms),
    )


def better_interval(metric: Metric, comparison: Comparison) -> tuple[float, float]:
    """The difference's interval turned so that above zero is better."""
    return _turned(metric, comparison.difference_low, comparison.difference_high)


def verdict_json(
    verdict: Verdict, definition: Definition, *, kind: str, live: bool, champion: int | None
) -> dict[str, Any]:
    """The verdict as it is written, with what carrying it out needs of the definition.

    ``champion`` is the release that was live when the test began: the verdict is against it.
    """
    releases = {name: arm.release for name, arm in definition.arms.items()}
    place = {"kind": kind, "live": live, "control": definition.control_arm, "champion": champion}
    return {**asdict(verdict), **place, "releases": releases}


def treatment_releases(written: dict[str, Any]) -> set[int]:
    """The releases that were tested against the control's, which itself is none of them.

    ``written`` is of ``verdict_json``. Raises ArtifactError for a control that is no arm.
    """
    return set(written["releases"].values()) - {control_release(written)}


def control_release(written: dict[str, Any]) -> int:
    """The release that the others were compared with; ArtifactError where no arm is named so."""
    releases: dict[str, int] = written["releases"]
    control = written.get("control")
    if control not in releases:
        raise ArtifactError(
            f"the verdict's control {control!r} is no arm; arms: {', '.join(releases)}; analyse "
            "the test again"
        )
    return releases[control]


def _turned(metric: Metric, low: float, high: float) -> tuple[float, float]:
    return (low, high) if metric.direction == "up" else (-high, -low)


def _is_broken(metric: Metric, comparison: Comparison) -> bool:
    return _turned(metric, comparison.beyond_low, comparison.beyond_high)[1] < 0


def _told(metric: Metric, comparison: Comparison) -> str:
    """The lift, or the difference where the lift's interval does not show the harm."""
    shown = _turned(metric, comparison.low, comparison.high)[1] < -metric.max_harm
    if shown or comparison.control_value == 0:
        return str(comparison)
    return f"{comparison.in_absolute_terms}, as the control has few of them"


def _doubts(definition: Definition, analysis: Analysis) -> list[str]:
    """Reasons to believe no figure of this test."""
    ratio = analysis.sample_ratio
    total = sum(ratio.users.values())
    doubts = []
    if ratio.mismatch:
        seen = ", ".join(f"{arm} {users:,}" for arm, users in ratio.users.items())
        doubts.append(
            f"sample-ratio mismatch (p {ratio.p_value:.2g}): {seen} users; find out what loses "
            "users of one arm before any lift is believed"
        )
    if analysis.crossed_users > MAX_CROSSED_SHARE * (total + analysis.crossed_users):
        doubts.append(
            f"{analysis.crossed_users:,} users were exposed to more than one arm; was the "
            "definition changed while the test ran?"
        )
    if analysis.misassigned_users > MAX_CROSSED_SHARE * max(total, 1):
        doubts.append(
            f"{analysis.misassigned_users:,} users were exposed to another arm than their hash "
            "gives; analyse the test with the definition it ran with"
        )
    if analysis.wrong_release_requests:
        doubts.append(
            f"{analysis.wrong_release_requests:,} requests were answered by another release "
            "than their arm names"
        )
    return doubts


def _too_few(definition: Definition, analysis: Analysis, primary: Comparison) -> list[str]:
    fewest = min(primary.users, primary.control_users)
    if fewest >= definition.min_users:
        return []
    reason = f"{fewest:,} users in the smaller arm, at least {definition.min_users:,} are needed"
    return [reason, *_needed(definition, analysis, primary)]


def _needed(definition: Definition, analysis: Analysis, primary: Comparison) -> list[str]:
    """How many users the power calculation asks for, where it can tell and there are fewer."""
    base = analysis.baseline
    if not base.value or not base.user_variance > 0:
        return []
    effect = max(definition.planned_effect, definition.min_effect)
    needed = sample_size(
        base.value,
        base.user_variance,
        effect,
        confidence=primary.confidence,
        power=definition.power,
    )
    if min(primary.users, primary.control_users) >= needed:
        return []
    return [
        f"a lift of {effect:.1%} would need {needed:,} users per arm (power "
        f"{definition.power:.0%}); there are {primary.users:,} and {primary.control_users:,}"
    ]


def _with(verdict: ArmVerdict, decision: str, *reasons: str) -> ArmVerdict:
    return ArmVerdict(arm=verdict.arm, decision=decision, reasons=reasons)
