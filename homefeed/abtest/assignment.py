"""Which arm a user belongs to: a stable hash, the same on every machine and forever.

BLAKE2b over layer, salt and typed user id gives two independent numbers: one says whether the
user takes part (so that more traffic keeps those who are in), the other which arm. Tests of
other layers or salts hash something else and so assign independently.
"""

import hashlib
from collections.abc import Iterable

import numpy as np

from homefeed.abtest.definition import Definition

OUTSIDE = -1  # position of users who do not take part


def arm_of(definition: Definition, user: str) -> str | None:
    """The arm of a typed user id (``i:7``, ``s:abc``); None outside the test's traffic."""
    position = int(arm_positions(definition, [user])[0])
    return None if position == OUTSIDE else tuple(definition.arms)[position]


def arm_positions(definition: Definition, users: Iterable[str]) -> np.ndarray:
    """Positions int64[n] of the users' arms in ``definition.arms``; -1 outside the traffic."""
    units = _units(definition.key, users)  # [n, 2] in [0, 1)
    weights = np.array([arm.weight for arm in definition.arms.values()])
    ends = np.cumsum(weights) / weights.sum()
    positions = np.searchsorted(ends[:-1], units[:, 1], side="right")
    return np.where(units[:, 0] < definition.traffic, positions, OUTSIDE)


def _units(key: str, users: Iterable[str]) -> np.ndarray:
    # The length of the key keeps ("a", "bc") apart from ("ab", "c").
    start = hashlib.blake2b(f"{len(key)}:{key}:".encode(), digest_size=16)
    digests = bytearray()
    for user in users:
        digest = start.copy()
        digest.update(user.encode())
        digests += digest.digest()
    numbers = np.frombuffer(bytes(digests), dtype="<u8").reshape(-1, 2)
    return (numbers >> np.uint64(11)).astype(np.float64) / 2**53  # 53 bits: always below 1
