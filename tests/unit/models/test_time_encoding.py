import math
from fractions import Fraction

import numpy as np
import torch

from homefeed.models.time_encoding import (
    ABSOLUTE_PERIODS_S,
    RELATIVE_PERIODS_S,
    ActionTimes,
    TimeEncoding,
)

NOW_S = 1_651_234_567


def test_the_periods_are_the_papers() -> None:
    hours = [p / 3600 for p in ABSOLUTE_PERIODS_S]
    assert hours == [0.25, 0.5, 0.75, 1, 2, 4, 8, 16, 24, 168, 672, 8760]
    assert len(RELATIVE_PERIODS_S) == 32
    assert RELATIVE_PERIODS_S[0] == 1
    assert math.isclose(RELATIVE_PERIODS_S[-1], 28 * 86400)
    ratios = np.diff(np.log(RELATIVE_PERIODS_S))
    np.testing.assert_allclose(ratios, ratios[0])


def test_phases_are_exact_at_todays_times_where_float32_is_a_radian_off() -> None:
    encoding = TimeEncoding(ABSOLUTE_PERIODS_S)
    torch.nn.init.normal_(encoding.phase, generator=torch.Generator().manual_seed(0))
    times = [NOW_S + 7919 * i for i in range(50)]
    found = encoding(torch.tensor(times)).detach().numpy()
    for row, time in zip(found, times, strict=True):
        turns = [Fraction(time) / Fraction(p) % 1 for p in ABSOLUTE_PERIODS_S]
        angles = [2 * math.pi * float(t) for t in turns]
        cosine = [math.cos(a + p) for a, p in zip(angles, encoding.phase[0].tolist(), strict=True)]
        sine = [math.sin(a + p) for a, p in zip(angles, encoding.phase[1].tolist(), strict=True)]
        np.testing.assert_allclose(
            row, [*cosine, *sine, math.log1p(time) / 16], atol=2e-6, rtol=1e-6
        )
    naive = 2 * math.pi * torch.tensor(times, dtype=torch.float32) / 900
    exact = torch.tensor([2 * math.pi * (t % 900) / 900 for t in times])
    assert (naive.cos() - exact.cos()).abs().max() > 0.1  # the trap this encoding avoids


def test_cosine_and_sine_learn_phases_of_their_own() -> None:
    encoding = TimeEncoding((3600.0,))
    encoding(torch.tensor([600])).sum().backward()
    angle = 2 * math.pi / 6
    expected = torch.tensor([[-math.sin(angle)], [math.cos(angle)]])
    torch.testing.assert_close(encoding.phase.grad, expected)


def test_a_gap_of_zero_seconds_is_finite() -> None:
    assert TimeEncoding(RELATIVE_PERIODS_S)(torch.tensor([0])).isfinite().all()


def test_an_unknown_time_leaves_every_feature_zero_whatever_the_column_says() -> None:
    times = ActionTimes()
    known = torch.tensor([True, False, True])
    gap_known = torch.tensor([True, False, False])

    def features(of_unknown: int) -> torch.Tensor:
        time = torch.tensor([NOW_S, of_unknown, NOW_S + 60])
        age = torch.tensor([60, of_unknown, 0])
        gap = torch.tensor([0, of_unknown, of_unknown])
        return times(time, age, gap, known, gap_known)

    first, second = features(5), features(12345)
    assert torch.equal(first, second)
    assert (first[1] == 0).all()
    assert first[0, -1] == 1
    assert first[2, -1] == 1
    assert first.shape == (3, times.out_features)
    assert times.out_features == 25 + 65 + 65 + 1
