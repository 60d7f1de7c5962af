"""User-bootstrap intervals: users are drawn with replacement, never actions."""

from dataclasses import dataclass

import numpy as np

CHUNK_VALUES = 4_000_000  # drawn values held at once: bounds memory, not the result


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over users with its percentile interval."""

    mean: float
    low: float  # lower end of the interval
    high: float  # upper end
    users: int  # users behind it

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies wholly on one side of zero."""
        return self.users > 0 and (self.low > 0 or self.high < 0)

    def __str__(self) -> str:
        """Write it as ``.0412 [.0380, .0444]``."""
        return f"{self.mean:.4f} [{self.low:.4f}, {self.high:.4f}]"


def bootstrap_mean(
    values: np.ndarray, *, samples: int = 1000, level: float = 0.95, seed: int = 0
) -> Estimate:
    """Mean of values [U] (NaN: this user has none) and its user-bootstrap interval."""
    values = np.asarray(values, np.float64)
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return Estimate(mean=float("nan"), low=float("nan"), high=float("nan"), users=0)
    means = _resampled_means(values, samples, seed)
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Estimate(mean=float(values.mean()), low=float(low), high=float(high), users=len(values))


def paired_difference(
    ours: np.ndarray, theirs: np.ndarray, *, samples: int = 1000, level: float = 0.95, seed: int = 0
) -> Estimate:
    """Interval of mean(ours - theirs) over the same users; both [U], one row per user.

    Raises ValueError where the two do not describe the same number of users.
    """
    if len(ours) != len(theirs):
        raise ValueError(f"a paired bootstrap needs the same users: {len(ours)} != {len(theirs)}")
    return bootstrap_mean(np.asarray(ours) - theirs, samples=samples, level=level, seed=seed)


def _resampled_means(values: np.ndarray, samples: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    per_chunk = max(1, CHUNK_VALUES // len(values))
    means = [
        values[
            generator.integers(len(values), size=(min(per_chunk, samples - start), len(values)))
        ].mean(axis=1)
        for start in range(0, samples, per_chunk)
    ]
    return np.concatenate(means)
