"""Random numbers as functions of keys: (seed, step, user, …) → the same number on any worker.

Counter-based (splitmix64's finaliser over a chain of keys): no generator has a state, so neither
the number of workers nor a resumed run changes what is drawn.
"""

import numpy as np

from homefeed.data.splitmix import GOLDEN, mix


def keyed_bits(*keys: int | np.ndarray) -> np.ndarray:
    """Hash integer keys, broadcast against each other, to uint64."""
    state = np.zeros((), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for key in keys:
            state = mix((state ^ np.asarray(key).astype(np.uint64)) + GOLDEN)
    return state


def keyed_uniform(*keys: int | np.ndarray) -> np.ndarray:
    """Float64 in [0, 1), uniform over the keys."""
    return (keyed_bits(*keys) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def keyed_integers(count: int | np.ndarray, *keys: int | np.ndarray) -> np.ndarray:
    """Int64 in [0, count); ``count`` at least 1, below 2^53."""
    return (keyed_uniform(*keys) * count).astype(np.int64)


def keyed_permutation(count: int, *keys: int) -> np.ndarray:
    """A permutation of 0 … count - 1."""
    return np.argsort(keyed_bits(*keys, np.arange(count)), kind="stable")


def dropout_keys(seed: int, step: int, user_T: np.ndarray, place_T: np.ndarray) -> np.ndarray:
    """One int32 key per token, for models/keyed_dropout.py."""
    return (
        (keyed_bits(seed, step, user_T, place_T) >> np.uint64(32)).astype(np.uint32).view("int32")
    )
