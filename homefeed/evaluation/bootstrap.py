"""User-bootstrap intervals: users are drawn with replacement, never actions."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

CHUNK_DRAWS = 4_000_000  # draws held at once: bounds memory, not the result


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


def bootstrap_means(
    values: np.ndarray,
    *,
    samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    chunk_draws: int = CHUNK_DRAWS,
) -> list[Estimate]:
    """Mean and user-bootstrap interval of each column of values [U, M].

    NaN means that a user has no such value. All columns share the draws of users; a draw without
    any value of a column does not count for that column.
    """
    present = ~np.isnan(values)
    filled = np.where(present, values, 0.0)
    users = present.sum(axis=0)
    means = _resampled_means(filled, present.astype(np.float64), samples, seed, chunk_draws)
    tail = (1 - level) / 2
    estimates = []
    for column, count in enumerate(users):
        drawn = means[:, column][~np.isnan(means[:, column])]
        if count == 0:
            estimates.append(Estimate(mean=np.nan, low=np.nan, high=np.nan, users=0))
            continue
        ends = [tail, 1 - tail]
        low, high = np.quantile(drawn, ends) if len(drawn) else (np.nan, np.nan)
        mean = float(filled[:, column].sum() / count)
        estimates.append(Estimate(mean=mean, low=float(low), high=float(high), users=int(count)))
    return estimates


def bootstrap_mean(
    values: np.ndarray, *, samples: int = 1000, level: float = 0.95, seed: int = 0
) -> Estimate:
    """Mean of values [U] (NaN: this user has none) and its user-bootstrap interval."""
    values = np.asarray(values, np.float64)
    values = values[~np.isnan(values)]
    return bootstrap_means(values[:, None], samples=samples, level=level, seed=seed)[0]


def paired_difference(
    ours: np.ndarray, theirs: np.ndarray, *, samples: int = 1000, level: float = 0.95, seed: int = 0
) -> Estimate:
    """Interval of mean(ours - theirs) over the same users; both [U], one row per user.

    Raises ValueError where the two do not describe the same number of users.
    """
    if len(ours) != len(theirs):
        raise ValueError(f"a paired bootstrap needs the same users: {len(ours)} != {len(theirs)}")
    return bootstrap_mean(np.asarray(ours) - theirs, samples=samples, level=level, seed=seed)


def _resampled_means(
    filled: np.ndarray, present: np.ndarray, samples: int, seed: int, chunk_draws: int
) -> np.ndarray:
    """Means [samples, M] over users drawn with replacement; NaN where a draw has no value."""
    means = np.full((samples, filled.shape[1]), np.nan)
    first = 0
    for times in draws_of_users(len(filled), samples, seed, chunk_draws):
        count = times @ present
        chunk = slice(first, first + len(times))
        np.divide(times @ filled, count, out=means[chunk], where=count > 0)
        first = chunk.stop
    return means


def draws_of_users(
    num_users: int, samples: int, seed: int, chunk_draws: int = CHUNK_DRAWS
) -> Iterator[np.ndarray]:
    """How often each user was drawn, float64 [b, U], some of the ``samples`` draws at a time."""
    generator = np.random.default_rng(seed)
    per_chunk = max(1, chunk_draws // max(num_users, 1))
    for start in range(0, samples if num_users else 0, per_chunk):
        rows = range(start, min(start + per_chunk, samples))
        yield np.stack(
            [
                np.bincount(generator.integers(num_users, size=num_users), minlength=num_users)
                for _ in rows
            ]
        ).astype(np.float64)
