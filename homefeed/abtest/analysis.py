"""Lift per metric with its interval, and whether the split of users can be believed.

Every metric is a ratio of user sums (actions over users, or over requests); its variance comes
from the delta method with users as clusters (Deng, Knoblich, Lu, KDD'18, section 3), because the
requests of one user are not independent. The lift is relative, its variance by the delta method
again; degrees of freedom are Welch's. Fixed horizon: intervals hold for one look, at the end.

Shapes: n users of one arm.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from homefeed.abtest.definition import Definition, Metric
from homefeed.abtest.exposure import Outcomes

SRM_ALPHA = 0.001  # a sample-ratio alarm is meant to be rare, and then serious


@dataclass(frozen=True, kw_only=True)
class ArmEstimate:
    """One metric in one arm."""

    users: int
    value: float  # sum of numerators / sum of denominators
    variance: float  # of ``value``
    user_variance: float  # per user, of the linearised ratio: what a power calculation needs


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One metric of one arm against another."""

    metric: str
    arm: str
    control: str
    value: float  # of the arm
    control_value: float
    users: int
    control_users: int
    difference: float  # absolute
    difference_low: float
    difference_high: float
    beyond_low: float  # interval of the arm's value minus what the metric tolerates of the control
    beyond_high: float
    lift: float  # relative to the control; NaN where that is 0
    low: float  # interval of the lift at ``confidence``
    high: float
    p_value: float  # two-sided, of the difference
    confidence: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval of the difference does.

        The lift's interval is for reading: with a few events an arm its tails are far from alike.
        """
        return self.difference_low > 0 or self.difference_high < 0

    @property
    def significant(self) -> bool:
        """Whether the difference excludes zero and is estimated: something must vary."""
        return self.excludes_zero and self.difference_low < self.difference_high

    @property
    def in_absolute_terms(self) -> str:
        """The difference with its interval, in the metric's own unit."""
        ends = f"[{self.difference_low:+.3g}, {self.difference_high:+.3g}]"
        return f"{self.difference:+.3g} {ends}, absolute"

    def __str__(self) -> str:
        """Write it as ``+3.2% [+1.1%, +5.3%]``, or in absolute terms where no lift says it."""
        if math.isnan(self.difference_low):
            return "no estimate yet: an arm has too few users"
        if self.control_value == 0:
            return f"{self.in_absolute_terms}, as the control is at 0"
        if self.value == 0:
            return f"{self.in_absolute_terms}, as the arm is at 0"
        if (self.low > 0 or self.high < 0) != self.excludes_zero:
            return f"{self.in_absolute_terms}, as the lift of so few cannot be told"
        return f"{self.lift:+.1%} [{self.low:+.1%}, {self.high:+.1%}]"


@dataclass(frozen=True, kw_only=True)
class SampleRatio:
    """Whether users are split as the definition's weights say."""

    users: dict[str, int]  # by arm
    expected: dict[str, float]
    p_value: float

    @property
    def mismatch(self) -> bool:
        """Whether the split would be this far off in less than one of a thousand tests."""
        return self.p_value < SRM_ALPHA


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """All figures of one test: arms × metrics against the control, and the checks."""

    test: str
    sample_ratio: SampleRatio
    crossed_users: int
    misassigned_users: int
    wrong_release_requests: int
    primary: tuple[Comparison, ...]  # one per treatment
    guardrails: tuple[Comparison, ...]
    baseline: ArmEstimate  # the primary metric in the control


def analyze(definition: Definition, outcomes: Outcomes) -> Analysis:
    """Compare every treatment with the control on every metric, and check the split."""
    control = definition.control_arm

    def compared(arm: str, metric: Metric, confidence: float) -> Comparison:
        return compare_arms(outcomes, metric, arm, control, confidence=confidence)

    primary, guardrails = all_comparisons(definition, compared)
    return Analysis(
        test=definition.name,
        sample_ratio=sample_ratio(definition, outcomes),
        crossed_users=outcomes.crossed_users,
        misassigned_users=outcomes.misassigned_users,
        wrong_release_requests=outcomes.wrong_release_requests,
        primary=primary,
        guardrails=guardrails,
        baseline=estimate(*outcomes.of(control, definition.primary)),
    )


def all_comparisons(
    definition: Definition, compared: Callable[[str, Metric, float], Comparison]
) -> tuple[tuple[Comparison, ...], tuple[Comparison, ...]]:
    """``compared(arm, metric, confidence)`` of every treatment: the primary metric, guardrails."""
    primary = tuple(
        compared(arm, definition.primary, definition.primary_confidence)
        for arm in definition.treatments
    )
    guardrails = tuple(
        compared(arm, metric, definition.confidence)
        for arm in definition.treatments
        for metric in definition.guardrails
    )
    return primary, guardrails


def compare_arms(
    outcomes: Outcomes, metric: Metric, arm: str, control: str, *, confidence: float = 0.95
) -> Comparison:
    """Lift of ``arm`` over ``control`` on one metric; any two arms may be compared."""
    return compare(
        estimate(*outcomes.of(arm, metric)),
        estimate(*outcomes.of(control, metric)),
        metric=metric.name,
        arm=arm,
        control=control,
        confidence=confidence,
        tolerated=metric.tolerated,
    )


def estimate(numerator: np.ndarray, denominator: np.ndarray) -> ArmEstimate:
    """Ratio of sums of float64[n] and its delta-method variance; NaN below two users."""
    users = len(numerator)
    if users < 2 or denominator.sum() == 0:
        return ArmEstimate(users=users, value=math.nan, variance=math.nan, user_variance=math.nan)
    value = numerator.sum() / denominator.sum()
    residual = (numerator - value * denominator) / denominator.mean()
    user_variance = float(residual.var(ddof=1))  # the residuals' mean is 0 by construction
    return ArmEstimate(
        users=users,
        value=float(value),
        variance=user_variance / users,
        user_variance=user_variance,
    )


def compare(
    treated: ArmEstimate,
    base: ArmEstimate,
    *,
    metric: str,
    arm: str,
    control: str,
    confidence: float = 0.95,
    tolerated: float = 0.0,
) -> Comparison:
    """Difference and lift of two independent estimates with their intervals.

    ``beyond`` is the interval of the treated value minus (1 + ``tolerated``) times the control's: a
    sum, so it holds where the control has few events or none, and a lift's interval says nothing.
    """
    from scipy import stats

    difference, difference_margin = _difference(treated, base, 1.0, confidence)
    error = math.sqrt(treated.variance + base.variance)
    beyond, beyond_margin = _difference(treated, base, 1 + tolerated, confidence)
    lift = lift_error = math.nan
    if base.value != 0:
        lift = difference / base.value
        relative = treated.value / base.value
        lift_error = math.sqrt(treated.variance + relative**2 * base.variance) / abs(base.value)
    freedom = _welch_freedom(treated, base)
    reach = _reach(freedom, confidence) if lift_error else 0.0  # nothing varies: a point
    return Comparison(
        metric=metric,
        arm=arm,
        control=control,
        value=treated.value,
        control_value=base.value,
        users=treated.users,
        control_users=base.users,
        difference=difference,
        difference_low=difference - difference_margin,
        difference_high=difference + difference_margin,
        beyond_low=beyond - beyond_margin,
        beyond_high=beyond + beyond_margin,
        lift=lift,
        low=lift - reach * lift_error,
        high=lift + reach * lift_error,
        p_value=float(2 * stats.t.sf(abs(difference) / error, freedom)) if error else math.nan,
        confidence=confidence,
    )


def sample_ratio(definition: Definition, outcomes: Outcomes) -> SampleRatio:
    """Chi-square test of the exposed users per arm against the definition's weights."""
    from scipy import stats

    users = {arm: outcomes.users_of(arm) for arm in definition.arms}
    total_weight = sum(arm.weight for arm in definition.arms.values())
    total = sum(users.values())
    expected = {name: total * arm.weight / total_weight for name, arm in definition.arms.items()}
    p_value = 1.0
    if total:
        p_value = float(stats.chisquare(list(users.values()), list(expected.values())).pvalue)
    return SampleRatio(users=users, expected=expected, p_value=p_value)


def _difference(
    treated: ArmEstimate, base: ArmEstimate, times: float, confidence: float
) -> tuple[float, float]:
    """``treated`` minus ``times`` ``base``, and half the width of its interval."""
    scaled = replace(base, value=times * base.value, variance=times**2 * base.variance)
    error = math.sqrt(treated.variance + scaled.variance)
    if error == 0:  # no variance: the difference is known exactly
        return treated.value - scaled.value, 0.0
    reach = _reach(_welch_freedom(treated, scaled), confidence)
    return treated.value - scaled.value, reach * error


def _reach(freedom: float, confidence: float) -> float:
    from scipy import stats

    return float(stats.t.ppf(1 - (1 - confidence) / 2, freedom)) if freedom > 0 else math.nan


def _welch_freedom(a: ArmEstimate, b: ArmEstimate) -> float:
    """Welch–Satterthwaite degrees of freedom; 0 where there is no variance at all."""
    total = a.variance + b.variance
    if not total > 0:
        return 0.0
    parts = [e.variance**2 / (e.users - 1) for e in (a, b)]
    return total**2 / sum(parts)
