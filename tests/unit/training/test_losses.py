import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from homefeed.training.losses import sampled_softmax

LEARNED = ("user", "target", "pool", "log_scale")


def _inputs(positions: int, pool: int, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    return {
        "user": F.normalize(random(positions, 8), dim=-1).requires_grad_(),
        "target": F.normalize(random(positions, 8), dim=-1).requires_grad_(),
        "pool": F.normalize(random(pool, 8), dim=-1).requires_grad_(),
        "log_scale": torch.tensor(2.5, requires_grad=True),
        "log_q": -random(positions).abs(),
        "log_weight": random(pool),
        "weight": torch.rand(positions, generator=generator),
        "mask": torch.rand(positions, pool, generator=generator) < 0.2,
    }


def _ours(i: dict[str, torch.Tensor], **more: int) -> torch.Tensor:
    return sampled_softmax(
        i["user"],
        i["target"],
        i["pool"],
        i["log_scale"],
        target_log_q=i["log_q"],
        pool_log_weight=i["log_weight"],
        masked=tuple(i["mask"].nonzero().T),
        weight_Q=i["weight"],
        **more,
    )


def _gradients(loss: torch.Tensor, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
    return torch.autograd.grad(loss, [inputs[name] for name in LEARNED])


def _one_by_one(i: dict[str, torch.Tensor]) -> torch.Tensor:
    """Equation 2, position by position, in float64."""
    scale, total = i["log_scale"].double().exp(), torch.zeros((), dtype=torch.float64)
    for q, user in enumerate(i["user"].double()):
        positive = user @ i["target"][q].double() * scale - i["log_q"][q]
        negatives = [
            user @ v.double() * scale + i["log_weight"][n]
            for n, v in enumerate(i["pool"])
            if not i["mask"][q, n]
        ]
        logits = torch.stack([positive, *negatives])
        total = total - i["weight"][q] * logits.log_softmax(0)[0]
    return total


@pytest.mark.parametrize("rows_at_once", [1, 3, 1000])
@pytest.mark.parametrize("seed", [0, 1])
def test_loss_and_gradients_equal_equation_two_whatever_the_chunk(
    rows_at_once: int, seed: int
) -> None:
    inputs = _inputs(7, 11, seed)
    expected, found = _one_by_one(inputs), _ours(inputs, chunk_bytes=rows_at_once * 4 * 11)
    torch.testing.assert_close(found, expected.float())
    pairs = zip(_gradients(found, inputs), _gradients(expected, inputs), strict=True)
    for ours, reference in pairs:
        torch.testing.assert_close(ours, reference, atol=1e-5, rtol=1e-4)


def test_gradients_scale_with_the_incoming_gradient() -> None:
    inputs = _inputs(4, 6, 0)
    once, thrice = _gradients(_ours(inputs), inputs), _gradients(3 * _ours(inputs), inputs)
    for a, b in zip(once, thrice, strict=True):
        torch.testing.assert_close(b, 3 * a)


@given(st.floats(1, 100), st.floats(-200, 200))
def test_the_loss_is_finite_at_the_temperatures_floor(scale: float, weight: float) -> None:
    inputs = _inputs(5, 9, 0)
    inputs["log_scale"] = torch.tensor(float(np.log(scale)), requires_grad=True)
    inputs["log_weight"] = inputs["log_weight"] + weight
    loss = _ours(inputs)
    assert loss.isfinite()
    assert all(g.isfinite().all() for g in _gradients(loss, inputs))


def test_a_row_whose_negatives_are_all_masked_has_no_loss() -> None:
    inputs = _inputs(3, 4, 0)
    inputs["mask"][:] = True
    assert _ours(inputs).item() == pytest.approx(0, abs=1e-6)
