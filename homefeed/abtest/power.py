"""How many users a test needs to see the effect that is worth seeing.

The normal approximation for two arms (e.g. Kohavi, Tang, Xu: Trustworthy Online Controlled
Experiments, 17). ``variance`` is per user; for a metric per request it is that of the linearised
ratio (analysis.ArmEstimate.user_variance).
"""

import math

from homefeed.errors import ConfigError


def sample_size(
    mean: float,
    variance: float,
    effect: float,
    *,
    confidence: float = 0.95,
    power: float = 0.8,
) -> int:
    """Users per arm that show a relative lift of ``effect`` in ``power`` of all tests.

    ConfigError where the baseline mean or the effect is 0: no number of users is enough.
    """
    if mean == 0 or effect == 0:
        raise ConfigError(
            f"a relative effect of {effect:g} on a mean of {mean:g} is no difference; give a "
            "metric that is not 0 in the control and an effect that is not 0"
        )
    z = _normal_quantile(confidence) + _quantile(power)
    return max(2, math.ceil(2 * variance * (z / (mean * effect)) ** 2))


def detectable_effect(
    mean: float,
    variance: float,
    users_per_arm: int,
    *,
    confidence: float = 0.95,
    power: float = 0.8,
) -> float:
    """The relative lift that ``users_per_arm`` users show in ``power`` of all tests."""
    if mean == 0 or users_per_arm <= 0:
        return math.inf
    z = _normal_quantile(confidence) + _quantile(power)
    return z * math.sqrt(2 * variance / users_per_arm) / abs(mean)


def _normal_quantile(confidence: float) -> float:
    """Two-sided critical value."""
    return _quantile(1 - (1 - confidence) / 2)


def _quantile(probability: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(probability))
