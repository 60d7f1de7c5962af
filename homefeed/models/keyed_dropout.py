"""Dropout whose mask is a function of keys, not of the order in which a generator was called.

A mask drawn from a generator depends on how the batch was split over workers. Here each token
carries a key, made from (seed, step, user, place), and the mask is a hash of (key, site, column):
the same token loses the same features wherever it is computed, so that the result of a fit does
not depend on the number of its workers.

Shapes: T tokens, D features.
"""

import torch
from torch import Tensor, nn

_LEVELS = 256  # one byte decides one feature, so the rate is rounded to 1/256


def keep_mask(key_T: Tensor, site: int, width: int, rate: float) -> Tensor:
    """Which features stay. key_T int32 [T] → bool [T, width]; ``width`` a multiple of 4.

    murmur3's finaliser over (key, site, column group); each 32-bit word serves four features.
    """
    words = torch.arange(width // 4, dtype=torch.int32, device=key_T.device)
    # Python's wide integers would overflow a C int: bring the constants into int32 first.
    x = key_T[:, None] ^ _int32((site + 1) * 0x9E3779B1)
    x = _mix(x) + words * _int32(0x85EBCA77)  # (T, D/4)
    threshold = round(rate * _LEVELS)
    return _mix(x).view(torch.uint8) >= threshold


def keyed_mask(item_K: Tensor, step_key: int, rate: float) -> Tensor:
    """Which items keep their id in the step of ``step_key`` (int32): int64 [K] → bool [K]."""
    x = _mix(_mix(item_K.to(torch.int32) ^ step_key) + _int32(0x27D4EB2F))
    return (x & 0xFFFF) >= round(rate * 65536)


def _mix(x: Tensor) -> Tensor:
    x = x ^ ((x >> 16) & 0xFFFF)  # int32's >> is arithmetic: clear the sign bits it drags in
    x = x * _int32(0x85EBCA6B)
    x = x ^ ((x >> 13) & 0x7FFFF)
    x = x * _int32(0xC2B2AE35)
    return x ^ ((x >> 16) & 0xFFFF)


def _int32(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 else value


class KeyedDropout(nn.Module):
    """Drops features by key in training; the identity in evaluation or without keys.

    ``site`` must differ between the dropouts of one network, or they would drop alike.
    """

    def __init__(self, rate: float, site: int) -> None:
        super().__init__()
        self.site = site
        self.rate = round(rate * _LEVELS) / _LEVELS
        if not 0 <= self.rate < 1:
            raise ValueError(f"dropout rate ({rate}) must lie in [0, 1)")

    def forward(self, x_TD: Tensor, key_T: Tensor | None) -> Tensor:
        """x_TD float [T, D], key_T int32 [T] or None → [T, D]."""
        if not self.training or self.rate == 0 or key_T is None:
            return x_TD
        keep = keep_mask(key_T, self.site, x_TD.shape[-1], self.rate)
        return x_TD * (keep.to(x_TD.dtype) * (1 / (1 - self.rate)))
