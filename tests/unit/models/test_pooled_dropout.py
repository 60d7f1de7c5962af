"""Dropout from a pool: the mean stays, the rate is kept, the mask is a function of the seed."""

from collections.abc import Iterator

import pytest
import torch

from homefeed.models import pooled_dropout as module
from homefeed.models.pooled_dropout import POOL, pooled_dropout


@pytest.fixture
def x() -> torch.Tensor:
    return torch.rand(200, 50, generator=torch.Generator().manual_seed(0)) + 1


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_an_element_is_dropped_or_scaled_up_so_that_the_mean_stays(
    x: torch.Tensor, rate: float
) -> None:
    torch.manual_seed(3)
    out = torch.stack([pooled_dropout(x, rate) for _ in range(50)])
    kept = out != 0
    torch.testing.assert_close(out[kept], (x / (1 - rate)).expand_as(out)[kept])
    assert 1 - kept.float().mean() == pytest.approx(rate, abs=0.01)
    assert out.mean() == pytest.approx(x.mean().item(), rel=0.01)


def test_without_a_rate_nothing_is_drawn(x: torch.Tensor) -> None:
    before = torch.get_rng_state()
    assert pooled_dropout(x, 0.0) is x
    assert torch.equal(torch.get_rng_state(), before)


def test_the_mask_is_a_function_of_the_seed(x: torch.Tensor) -> None:
    drawn = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        drawn.append(pooled_dropout(x, 0.3))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_gradients_pass_where_the_element_was_kept(x: torch.Tensor) -> None:
    x.requires_grad_()
    with torch.inference_mode():
        pooled_dropout(x.detach(), 0.2)  # the pool may be drawn here first
    out = pooled_dropout(x, 0.2)
    out.sum().backward()
    assert torch.equal(x.grad != 0, out != 0)


@pytest.mark.parametrize("size", [1, POOL // 2, POOL // 2 + 1])
def test_the_smallest_and_the_largest_tensors_keep_their_shape_and_rate(size: int) -> None:
    out = pooled_dropout(torch.ones(size), 0.25)
    assert out.shape == (size,)
    if size > 1:
        assert (out == 0).float().mean() == pytest.approx(0.25, abs=0.01)


@pytest.fixture
def small_pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """A pool of 64 elements at rate 0.5: few enough places to meet them all."""
    monkeypatch.setattr(module, "POOL", 64)
    module._pool.cache_clear()  # drawn once per rate: a larger one may be there
    yield module._pool(0.5).tolist()
    module._pool.cache_clear()


def test_a_slice_of_the_pool_begins_anywhere(small_pool: list[float]) -> None:
    torch.manual_seed(0)
    places = {tuple(small_pool[i : i + 32]): i for i in range(32)}
    assert len(places) == 32  # no two slices are alike
    seen = {places[tuple(pooled_dropout(torch.ones(32), 0.5).tolist())] for _ in range(1000)}
    assert seen == set(range(32))
