"""The arithmetic of the closed loop: paired truth, the A/A share, and the length of a test."""

import math
from dataclasses import dataclass

import numpy as np

from homefeed.abtest.power import detectable_effect


@dataclass(frozen=True, kw_only=True)
class Lift:
    """A relative lift with its 95 % interval."""

    lift: float
    low: float
    high: float
    users: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies wholly on one side of zero."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return f"{self.lift:+.1%} [{self.low:+.1%}, {self.high:+.1%}]"


def paired_lift(ours: np.ndarray, base: np.ndarray, *, confidence: float = 0.95) -> Lift:
    """Lift of sum(ours) over sum(base), float64 [U] sums of the SAME users.

    Requests are the same under both arms, so the ratio of sums is the ratio of rates per request.
    The delta method over users: the interval says how far other users might differ.
    """
    from scipy import stats

    users, total = len(base), float(base.sum())
    if users < 2 or total == 0:
        return Lift(lift=math.nan, low=math.nan, high=math.nan, users=users)
    ratio = float(ours.sum()) / total
    residual = (ours - ratio * base) / base.mean()
    error = math.sqrt(float(residual.var(ddof=1)) / users)
    reach = float(stats.t.ppf(1 - (1 - confidence) / 2, users - 1)) * error
    return Lift(lift=ratio - 1, low=ratio - 1 - reach, high=ratio - 1 + reach, users=users)


def binomial_interval(draws: int, share: float, level: float = 0.99) -> tuple[int, int]:
    """The whole numbers of hits in ``draws`` that the normal interval of ``level`` holds.

    500 draws at 5 %: 25 ± 2.576 · sqrt(500 · 0.05 · 0.95), that is 13 to 37.
    """
    from scipy.special import ndtri

    reach = float(ndtri(1 - (1 - level) / 2)) * math.sqrt(draws * share * (1 - share))
    middle = draws * share
    return max(0, math.ceil(middle - reach)), math.floor(middle + reach)


@dataclass(frozen=True, kw_only=True)
class AaShare:
    """How many of the redrawn A/A tests came out significant, and whether that is right."""

    draws: int
    significant: int
    low: int
    high: int

    @property
    def passed(self) -> bool:
        """Whether the count lies in the binomial interval around the promised error."""
        return self.low <= self.significant <= self.high


def aa_share(p_values: np.ndarray, *, error: float = 0.05) -> AaShare:
    """Count p-values [draws] below ``error``; DatasetError-free: NaN counts as not significant."""
    low, high = binomial_interval(len(p_values), error)
    significant = int((p_values < error).sum())
    return AaShare(draws=len(p_values), significant=significant, low=low, high=high)


@dataclass(frozen=True, kw_only=True)
class Length:
    """How long a test must last, by the power calculation on the log before it."""

    days: int
    effect: float  # relative lift that it was asked for
    detectable: float  # relative lift that it sees in 80 % of all tests
    users_per_arm: int
    mean: float  # of the metric, in the log's last ``days`` days
    user_variance: float
    enough: bool  # False: not even the longest test sees ``effect``


def length_of(
    by_days: "list[tuple[int, int, float, float]]", effect: float, arms: int, power: float = 0.8
) -> Length:
    """The fewest days whose users see ``effect``, of (days, users, mean, user variance) rows.

    Users come again, so more days bring more users and more requests of each: both are in the
    rows, which are measured on windows of the log that are as long as the test would be.
    """
    for row in by_days:
        days, users, mean, variance = row
        per_arm = users // arms
        seen = detectable_effect(mean, variance, per_arm, power=power)
        if seen <= effect:
            break
    return Length(
        days=days,
        effect=effect,
        detectable=seen,
        users_per_arm=per_arm,
        mean=mean,
        user_variance=variance,
        enough=seen <= effect,
    )
