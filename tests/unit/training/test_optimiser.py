from itertools import pairwise

import pytest
import torch
from torch import nn

from homefeed.training.optimiser import build_optimiser, learning_rate_at, set_learning_rate


def test_only_weight_matrices_decay() -> None:
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4), nn.LayerNorm(4))
    scale = nn.Parameter(torch.zeros(()))
    optimiser = build_optimiser(model, [scale], learning_rate=0.1, weight_decay=0.5)
    decayed, plain = optimiser.param_groups
    assert decayed["params"] == [model[1].weight]
    assert decayed["weight_decay"] == 0.5
    assert plain["weight_decay"] == 0
    assert len(plain["params"]) == 5


def test_the_rate_rises_linearly_and_falls_along_a_cosine() -> None:
    rates = [learning_rate_at(s, steps=110, warmup_steps=10, peak=2.0) for s in range(111)]
    assert rates[:10] == pytest.approx([0.2 * (s + 1) for s in range(10)])
    assert rates[10] == pytest.approx(2.0)
    assert rates[60] == pytest.approx(2 * (0.01 + 0.99 / 2))
    assert rates[110] == pytest.approx(0.02)
    assert all(a > b for a, b in pairwise(rates[10:]))


def test_without_warm_up_the_first_step_has_the_peak() -> None:
    assert learning_rate_at(0, steps=10, warmup_steps=0, peak=1.0) == pytest.approx(1.0)


def test_the_rate_is_set_on_every_group() -> None:
    optimiser = build_optimiser(nn.Linear(2, 3), [], learning_rate=0.1, weight_decay=0.1)
    set_learning_rate(optimiser, 0.025)
    assert [g["lr"] for g in optimiser.param_groups] == [0.025, 0.025]
