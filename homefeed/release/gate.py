"""The promotion gate: champion and challenger on the same holdout, user by user.

A pure function. The caller scores both releases on the challenger's holdout, asks, and writes
the decision to the ledger, whichever way it goes.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from homefeed.errors import PromotionRefused
from homefeed.evaluation.bootstrap import Estimate, paired_difference

# A percentile bootstrap of fewer users is too narrow: between equals one user passes in 34 % of
# cases and five in 7 %, ten to fifty in 2 to 4 %, where 2.5 % are promised (docs/lab_log.md).
LEAST_USERS = 10


@dataclass(frozen=True, kw_only=True)
class GateRule:
    """What a challenger has to show."""

    metric: str  # name of the primary metric, for the record
    min_lift: float = (
        0.0  # relative to the champion's mean; the interval's lower end must exceed it
    )
    confidence: float = 0.95
    bootstrap_rounds: int = 1_000
    max_cohort_loss: float = 0.0  # a cohort whose interval lies wholly below minus this refuses
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence must lie between 0 and 1, found {self.confidence}")
        if self.bootstrap_rounds < 100:
            raise ValueError(f"bootstrap_rounds must be at least 100: {self.bootstrap_rounds}")
        if self.max_cohort_loss < 0:
            raise ValueError(f"max_cohort_loss must not be negative: {self.max_cohort_loss}")


@dataclass(frozen=True, kw_only=True)
class GateDecision:
    """Whether the challenger passed, why, and the figures behind it."""

    passed: bool
    reason: str
    figures: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values for the ledger and the report."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "GateDecision":
        """Read what ``to_json`` wrote."""
        return cls(**values)

    def require(self) -> None:
        """Raise PromotionRefused (exit 3) unless the challenger passed."""
        if not self.passed:
            raise PromotionRefused(self.reason)


def without_champion(rule: GateRule, challenger: np.ndarray) -> GateDecision:
    """The first release: there is nothing to be better than. challenger [U]."""
    figures = {"metric": rule.metric, "challenger": _mean(challenger), "users": len(challenger)}
    return GateDecision(passed=True, reason="there is no champion yet", figures=figures)


def not_compared(rule: GateRule, challenger: np.ndarray, reason: str) -> GateDecision:
    """There is a champion, but nothing to compare with it: refused, for a person to decide."""
    figures = {"metric": rule.metric, "challenger": _mean(challenger), "users": len(challenger)}
    return GateDecision(passed=False, reason=reason, figures=figures)


def decide(
    rule: GateRule,
    champion: np.ndarray,
    challenger: np.ndarray,
    cohorts: Sequence[str] | np.ndarray | None = None,
) -> GateDecision:
    """Compare per-user metrics of both releases, [U] each, row by row the same users.

    NaN means that the metric does not exist for this user (say, an AUC without a negative); it
    must then be missing for both. ``cohorts`` [U] names each user's cohort; one of fewer than
    ``LEAST_USERS`` is told and refuses nothing, and so few in all pass nothing. Raises ValueError
    where the arrays do not describe the same users, PromotionRefused where there is no user.
    """
    champion, challenger = np.asarray(champion, float), np.asarray(challenger, float)
    _require_same_users(champion, challenger, cohorts)
    overall = _estimate(rule, challenger, champion)
    if overall.users == 0:
        raise PromotionRefused(
            f"the holdout holds no user with a {rule.metric}; choose a longer evaluation window"
        )
    slices = _slices(rule, champion, challenger, cohorts)
    needed = rule.min_lift * abs(_mean(champion))
    judged = {name: each for name, each in slices.items() if each.users >= LEAST_USERS}
    worse = [name for name, each in judged.items() if each.high < -rule.max_cohort_loss]
    figures = {
        "metric": rule.metric,
        "users": overall.users,
        "champion": _mean(champion),
        "challenger": _mean(challenger),
        "difference": asdict(overall),
        "needed_difference": needed,
        "confidence": rule.confidence,
        "cohorts": {name: asdict(each) for name, each in slices.items()},
    }
    if overall.users < LEAST_USERS:
        reason = (
            f"{rule.metric} changes by {overall} for {overall.users} users; {LEAST_USERS} are "
            "needed: choose a longer evaluation window"
        )
        return GateDecision(passed=False, reason=reason, figures=figures)
    if overall.low <= needed:
        reason = f"{rule.metric} changes by {overall}; its lower end must exceed {needed:.4f}"
        return GateDecision(passed=False, reason=reason, figures=figures)
    if worse:
        lost = ", ".join(f"{name} {slices[name]}" for name in worse)
        reason = f"{rule.metric} rises by {overall}, but falls for the cohorts {lost}"
        return GateDecision(passed=False, reason=reason, figures=figures)
    reason = f"{rule.metric} rises by {overall} for {overall.users:,} users"
    return GateDecision(passed=True, reason=reason, figures=figures)


def _slices(
    rule: GateRule, champion: np.ndarray, challenger: np.ndarray, cohorts: Any
) -> dict[str, Estimate]:
    if cohorts is None:
        return {}
    cohorts = np.asarray(cohorts)
    found = {
        str(name): _estimate(rule, challenger[cohorts == name], champion[cohorts == name])
        for name in np.unique(cohorts)
    }
    return {name: each for name, each in found.items() if each.users > 0}


def _estimate(rule: GateRule, ours: np.ndarray, theirs: np.ndarray) -> Estimate:
    return paired_difference(
        ours, theirs, samples=rule.bootstrap_rounds, level=rule.confidence, seed=rule.seed
    )


def _require_same_users(champion: np.ndarray, challenger: np.ndarray, cohorts: Any) -> None:
    shapes = {champion.shape, challenger.shape} | (
        {np.shape(cohorts)} if cohorts is not None else set()
    )
    if len(shapes) != 1 or champion.ndim != 1:
        raise ValueError(f"champion, challenger and cohorts must all be [U], found {shapes}")
    if np.any(np.isnan(champion) != np.isnan(challenger)):
        users = int(np.flatnonzero(np.isnan(champion) != np.isnan(challenger))[0])
        raise ValueError(f"only one of the two has a metric for user row {users}")


def _mean(values: np.ndarray) -> float:
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")
