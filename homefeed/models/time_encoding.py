"""PinnerFormer's time encoding (KDD'22, A.1): Time2vec with fixed periods and learned phases.

r(t) = [cos(2πt/p_i + φ_i), sin(2πt/p_i + ψ_i)]_i , log(1 + t)

Differs from the print in two points: log1p instead of log, because a gap can be 0 seconds; and
that one feature is scaled by a constant.
Times are integer seconds since 1970: in float32 the phase of a 15-minute period would be wrong by
up to a radian, so times are reduced modulo the period in float64 (exact for integers below 2^53).

Shapes: T tokens, P periods.
"""

import math

import torch
from torch import Tensor, nn

from homefeed.clock import DAY_S

HOUR_S = 3600.0
ABSOLUTE_PERIODS_S = (
    *(h * HOUR_S for h in (0.25, 0.5, 0.75, 1, 2, 4, 8, 16)),
    *(d * DAY_S for d in (1, 7, 28, 365)),
)
# 32 periods evenly spaced on a log scale, from one second to four weeks.
RELATIVE_PERIODS_S = tuple(math.exp(i / 31 * math.log(28 * DAY_S)) for i in range(32))
# Logarithms of seconds since 1970 are near 21 and would drown the other features; the projection
# that follows makes the constant a matter of conditioning only.
LOG_SCALE = 1 / 16


class TimeEncoding(nn.Module):
    """Encodes one time per token into 2P + 1 features.

    Shapes: time_s [T], int64 or float64, in seconds, at least 0 → float32 [T, 2P + 1].
    """

    def __init__(self, periods_s: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer(
            "periods_s", torch.tensor(periods_s, dtype=torch.float64), persistent=False
        )
        # Two phases a period: the paper learns cosine's and sine's apart.
        self.phase = nn.Parameter(torch.zeros(2, len(periods_s)))
        self.out_features = 2 * len(periods_s) + 1

    def forward(self, time_s: Tensor) -> Tensor:
        """time_s [T] → float32 [T, 2P + 1]."""
        time = time_s.double()[:, None]  # (T, 1)
        turn = torch.remainder(time, self.periods_s) / self.periods_s  # (T, P) in [0, 1)
        angle = (2 * math.pi * turn).float()
        wave = (torch.cos(angle + self.phase[0]), torch.sin(angle + self.phase[1]))
        return torch.cat((*wave, torch.log1p(time).float() * LOG_SCALE), dim=-1)


class ActionTimes(nn.Module):
    """The three times of an action: absolute, since the latest action, since the previous one.

    Shapes: all [T] → float32 [T, features]. Where a time is unknown all its features are zero and
    the last feature, the indicator of a known time, is zero as well: nothing is invented.
    """

    def __init__(self) -> None:
        super().__init__()
        self.absolute = TimeEncoding(ABSOLUTE_PERIODS_S)
        self.since_latest = TimeEncoding(RELATIVE_PERIODS_S)
        self.gap = TimeEncoding(RELATIVE_PERIODS_S)
        encodings = (self.absolute, self.since_latest, self.gap)
        self.out_features = sum(e.out_features for e in encodings) + 1

    def forward(
        self, time_s: Tensor, age_s: Tensor, gap_s: Tensor, known: Tensor, gap_known: Tensor
    ) -> Tensor:
        """Int64 seconds [T] three times, bool [T] twice → float32 [T, features]."""
        timed, spaced = known.float()[:, None], gap_known.float()[:, None]
        return torch.cat(
            (
                self.absolute(time_s) * timed,
                self.since_latest(age_s) * timed,
                self.gap(gap_s) * spaced,
                timed,
            ),
            dim=-1,
        )
