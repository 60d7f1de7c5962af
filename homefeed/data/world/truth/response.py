"""How a person responds to an item on a page: probabilities first, then draws.

Someone examines a position, opens the item (a closeup, for some seconds), and having opened it may
click through and may save it; someone who examines an item that is nothing to them may hide it.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, ndtr

from homefeed.data.world.config import Laws

LONG_S = 10.0  # a closeup of at least this long is positive
DURATION_SPREAD = 0.8  # standard deviation of the logarithm of a closeup's seconds


@dataclass(frozen=True, kw_only=True)
class Tendencies:
    """Probabilities given what came before. All float64[B, n]."""

    examine: np.ndarray
    open: np.ndarray  # given examined
    save: np.ndarray  # given opened
    click: np.ndarray  # given opened
    hide: np.ndarray  # given examined and not opened
    median_s: np.ndarray  # of a closeup's duration

    def expected(self) -> dict[str, np.ndarray]:
        """Unconditional probability of each label, and of any positive action. float64[B, n]."""
        opened = self.examine * self.open
        long = ndtr(np.log(self.median_s / LONG_S) / DURATION_SPREAD)
        nothing = (1 - self.save) * (1 - self.click) * (1 - long)
        return {
            "closeup": opened,
            "save": opened * self.save,
            "click": opened * self.click,
            "hide": self.examine * (1 - self.open) * self.hide,
            "positive": opened * (1 - nothing),
        }


@dataclass(frozen=True, kw_only=True)
class Match:
    """How person and item fit. All float64, broadcast to [B, n]."""

    interest: np.ndarray  # 0..1, long-term interests
    intent: np.ndarray  # 0..1, what the session is about
    taste: np.ndarray  # about normal, beyond topics
    quality: np.ndarray  # about normal
    freshness: np.ndarray  # 0..1
    boredom: np.ndarray  # 0.., sightings remembered
    eagerness: np.ndarray
    saves: np.ndarray
    clicks: np.ndarray


def tendencies(match: Match, positions: np.ndarray, laws: Laws) -> Tendencies:
    """Turn a match at ``positions`` (from 1) into probabilities under ``laws``."""
    appeal = (
        laws.interest_weight * match.interest
        + laws.intent_weight * match.intent
        + laws.style_weight * match.taste
        + laws.quality_weight * match.quality
    )
    logit = (
        laws.base
        + appeal
        + laws.freshness_weight * match.freshness
        + match.eagerness
        - laws.boredom_weight * np.minimum(match.boredom, 3.0)
    )
    liking = match.interest + match.intent  # 0..2
    return Tendencies(
        examine=1 / (1 + laws.examination * (positions - 1)),
        open=expit(logit),
        save=expit(-2.2 + 0.9 * liking + 0.5 * laws.style_weight * match.taste + match.saves),
        click=expit(-1.6 + 0.5 * liking + match.clicks),
        hide=expit(-3.6 - 1.2 * liking - 0.8 * match.quality),
        median_s=9.0 * np.exp(0.5 * liking + 0.2 * match.quality),
    )
