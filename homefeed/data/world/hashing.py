"""Random numbers without state: a draw is a hash of what it is about.

The same question gets the same answer whatever was asked before it, so that responses do not
depend on the arm, on the order of requests, or on how many requests there were.
"""

import numpy as np
from scipy.special import ndtri

from homefeed.data.splitmix import GOLDEN, mix


def stream(name: str) -> int:
    """A 64-bit number for a named stream of draws; stable between processes (FNV-1a)."""
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def bits(seed: int, name: str, *keys: np.ndarray | int) -> np.ndarray:
    """64 random bits for each broadcast combination of integer ``keys`` in stream ``name``."""
    with np.errstate(over="ignore"):
        state = mix(np.uint64(seed & 0xFFFFFFFFFFFFFFFF) * GOLDEN ^ np.uint64(stream(name)))
        for key in keys:
            state = mix(state ^ (np.asarray(key).astype(np.uint64) + GOLDEN) * GOLDEN)
    return state


def uniform(seed: int, name: str, *keys: np.ndarray | int) -> np.ndarray:
    """Uniform numbers strictly inside (0, 1), float64, one for each combination of keys."""
    high = (bits(seed, name, *keys) >> np.uint64(12)).astype(np.float64)
    return (high + 0.5) * 2.0**-52


def normal(seed: int, name: str, *keys: np.ndarray | int) -> np.ndarray:
    """Standard normal numbers, float64, one for each combination of keys."""
    return ndtri(uniform(seed, name, *keys))


def choice(cumulative: np.ndarray, draw: np.ndarray) -> np.ndarray:
    """Row-wise inverse transform: the index at which each ``draw`` falls.

    ``cumulative`` is [..., K] and ends in its total (not necessarily 1); ``draw`` is [...] in
    (0, 1). Returns int64[...] below K.
    """
    above = cumulative < (draw * cumulative[..., -1])[..., None]
    return np.minimum(above.sum(axis=-1), cumulative.shape[-1] - 1)
