"""AdamW with weight decay on matrices only, and the learning rate's way over a fit."""

import math

import torch
from torch import nn


def build_optimiser(
    model: nn.Module, extra: list[nn.Parameter], *, learning_rate: float, weight_decay: float
) -> torch.optim.AdamW:
    """Fused AdamW; biases, norms, phases, embeddings and scalars are not decayed."""
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    parameters = [*model.parameters(), *extra]
    decayed = [p for p in parameters if p.ndim == 2 and id(p) not in embeddings and len(p) > 2]
    chosen = {id(p) for p in decayed}
    plain = [p for p in parameters if id(p) not in chosen]
    return torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ],
        lr=learning_rate,
        betas=(0.9, 0.98),
        fused=True,
    )


def learning_rate_at(step: int, *, steps: int, warmup_steps: int, peak: float) -> float:
    """Linear warm-up to ``peak``, then a cosine down to a hundredth of it at the last step."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(steps - warmup_steps, 1)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))


def set_learning_rate(optimiser: torch.optim.Optimizer, value: float) -> None:
    """Set all groups to ``value``."""
    for group in optimiser.param_groups:
        group["lr"] = value
