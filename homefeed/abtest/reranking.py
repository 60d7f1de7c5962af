"""Paired re-ranking: logged lists put in order by each arm, compared on the recorded labels.

For data without a live server. Every user is in every arm, so comparisons are within users and
there is no split of users to check: no sample ratio, no exposure, and no claim about what users
would have done with the lists of another arm.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from homefeed.abtest.analysis import Comparison, all_comparisons
from homefeed.abtest.definition import Definition, Metric
from homefeed.abtest.verdict import HOLD, ArmVerdict, Verdict, combine, judge_arm
from homefeed.errors import DatasetError
from homefeed.evaluation.bootstrap import paired_difference

KIND = "paired re-ranking"

UserMetric = Mapping[str, np.ndarray]  # arm → float64[U], the same users in the same order


@dataclass(frozen=True, kw_only=True)
class PairedAnalysis:
    """All figures of a paired re-ranking."""

    test: str
    kind: str
    primary: tuple[Comparison, ...]
    guardrails: tuple[Comparison, ...]


def analyze_paired(
    definition: Definition,
    values: Mapping[str, UserMetric],
    *,
    samples: int = 1000,
    seed: int = 0,
) -> PairedAnalysis:
    """Compare arms on one value per user and metric; ``values[metric name][arm]`` float64[U].

    Intervals: paired bootstrap over users of the mean difference, divided by the control's mean.
    """

    def compared(arm: str, metric: Metric, confidence: float) -> Comparison:
        if metric.name not in values or arm not in values[metric.name]:
            raise DatasetError(
                f"no values of metric {metric.name!r} for arm {arm!r}; a paired re-ranking needs "
                "one value per user of every metric in the definition"
            )
        return compare_paired(
            values[metric.name],
            arm,
            definition.control_arm,
            metric=metric.name,
            confidence=confidence,
            tolerated=metric.tolerated,
            samples=samples,
            seed=seed,
        )

    primary, guardrails = all_comparisons(definition, compared)
    return PairedAnalysis(test=definition.name, kind=KIND, primary=primary, guardrails=guardrails)


def compare_paired(
    values: UserMetric,
    arm: str,
    control: str,
    *,
    metric: str,
    confidence: float = 0.95,
    tolerated: float = 0.0,
    samples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Lift of ``arm`` over ``control`` over the same users. DatasetError where users differ."""
    ours, base = np.asarray(values[arm], np.float64), np.asarray(values[control], np.float64)
    if len(ours) != len(base):
        raise DatasetError(
            f"{metric}: arm {arm!r} has {len(ours):,} users, {control!r} {len(base):,}; "
            "a paired comparison needs the same ones"
        )
    both = ~(np.isnan(ours) | np.isnan(base))
    ours, base = ours[both], base[both]
    draws = {"samples": samples, "level": confidence, "seed": seed}
    found = paired_difference(ours, base, **draws)
    beyond = paired_difference(ours, (1 + tolerated) * base, **draws) if tolerated else found
    mean = float(base.mean()) if len(base) else float("nan")
    scale = 1 / mean if mean else float("nan")
    return Comparison(
        metric=metric,
        arm=arm,
        control=control,
        value=mean + found.mean,
        control_value=mean,
        users=len(ours),
        control_users=len(base),
        difference=found.mean,
        difference_low=found.low,
        difference_high=found.high,
        beyond_low=beyond.low,
        beyond_high=beyond.high,
        lift=found.mean * scale,
        low=found.low * scale,
        high=found.high * scale,
        p_value=float("nan"),  # the percentile bootstrap gives an interval, not a p-value
        confidence=confidence,
    )


def decide_paired(definition: Definition, analysis: PairedAnalysis) -> Verdict:
    """The rule of ``verdict`` without the checks that only a live split can have."""
    arms = []
    for primary in analysis.primary:
        if primary.users < definition.min_users:
            reason = (
                f"{primary.users:,} users with lists that count, at least "
                f"{definition.min_users:,} are needed"
            )
            arms.append(ArmVerdict(arm=primary.arm, decision=HOLD, reasons=(reason,)))
            continue
        guardrails = [c for c in analysis.guardrails if c.arm == primary.arm]
        judged = [c for c in guardrails if c.users >= definition.min_users]
        verdict = judge_arm(definition, primary, judged)
        few = tuple(
            f"{c.metric} is not judged: {c.users:,} users with lists that count"
            for c in guardrails
            if c not in judged
        )
        arms.append(replace(verdict, reasons=(*verdict.reasons, *few)))
    return combine(definition, analysis.primary, arms)
