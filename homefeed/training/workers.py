"""The two collectives of a fit: gather rows with gradients, and sum gradients.

Both are the identity for a single worker, so a fit needs no process group then.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Worker:
    """Which of the workers this process is. ``size`` above 1 needs a process group."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    def share(self, count: int) -> slice:
        """This worker's part of ``count`` rows; parts are equal, the last ones may be short."""
        each = -(-count // self.size)
        return slice(min(self.rank * each, count), min((self.rank + 1) * each, count))


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, size: int, rank: int) -> Tensor:
        ctx.size, ctx.rank = size, rank
        parts = [torch.empty_like(rows) for _ in range(size)]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        # Every worker's loss reads all rows: a row's gradient is the sum over workers.
        grad = grad.contiguous()
        dist.all_reduce(grad)
        return grad.chunk(ctx.size)[ctx.rank], None, None


def gather_rows(rows_KD: Tensor, count: int, worker: Worker) -> Tensor:
    """Concatenate ``Worker.share(count)`` rows of all workers: [K, D] → [count, D].

    Gradients flow back to the worker that made the row, summed over all workers' losses.
    """
    if worker.size == 1:
        return rows_KD
    each = -(-count // worker.size)
    padded = nn.functional.pad(rows_KD, (0, 0, 0, each - len(rows_KD)))
    return _GatherRows.apply(padded, worker.size, worker.rank)[:count]


def sum_gradients(parameters: Iterable[nn.Parameter], worker: Worker) -> None:
    """Add up every worker's gradients, in one message. Losses are weighted globally: no mean."""
    if worker.size == 1:
        return
    grads = []
    for p in parameters:
        if p.grad is None:
            p.grad = torch.zeros_like(p)
        grads.append(p.grad)
    flat = torch.cat([g.flatten() for g in grads])
    dist.all_reduce(flat)
    for grad, part in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
        grad.copy_(part.view_as(grad))


def sum_scalar(value: Tensor, worker: Worker) -> float:
    """The sum of a scalar over all workers."""
    if worker.size > 1:
        value = value.detach().clone()
        dist.all_reduce(value)
    return float(value)
