"""The sampled softmax of PinnerFormer (KDD'22, Eq. 2), in chunks and with its backward by hand.

loss = Σ_q weight_q · ( logsumexp([p_q, n_q1 … n_qN]) − p_q )
p_q = ⟨u_q, t_q⟩/τ − log Q(t_q | user),   n_qj = ⟨u_q, v_j⟩/τ + log_weight_j (masked: −∞)

(The print has s(u_i, u_i) where s(u_i, p_i) is meant.) A step of 16 k positions against 13 k
negatives would need 870 MB of logits: the rows are taken in chunks and their gradients formed at
once, so that only one chunk of logits is ever alive.

Shapes: Q positions, N pool items, D dim.
"""

from typing import Any

import torch
from torch import Tensor

CHUNK_BYTES = 16 << 20  # of float32 logits: in cache, and far below any memory limit
GPU_CHUNK_BYTES = 512 << 20  # few and large kernels, and still far below its memory


def sampled_softmax(
    user_QD: Tensor,
    target_QD: Tensor,
    pool_ND: Tensor,
    log_scale: Tensor,
    *,
    target_log_q: Tensor,
    pool_log_weight: Tensor,
    masked: tuple[Tensor, Tensor],
    weight_Q: Tensor,
    chunk_bytes: int | None = None,
) -> Tensor:
    """Weighted sum over positions of the corrected sampled softmax loss.

    user, target [Q, D] and pool [N, D]: unit vectors, float32. log_scale []: log of 1/τ.
    target_log_q [Q], pool_log_weight [N]. masked: (position, column) int64 pairs on
    the host, sorted by position. weight_Q [Q]. ``chunk_bytes`` of logits are alive at once.
    Returns a float32 scalar.
    """
    if chunk_bytes is None:
        chunk_bytes = GPU_CHUNK_BYTES if user_QD.is_cuda else CHUNK_BYTES
    return _SampledSoftmax.apply(
        *(user_QD, target_QD, pool_ND, log_scale, target_log_q, pool_log_weight),
        *(masked, weight_Q, chunk_bytes),
    )


class _SampledSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        user: Tensor,
        target: Tensor,
        pool: Tensor,
        log_scale: Tensor,
        log_q: Tensor,
        log_weight: Tensor,
        masked: tuple[Tensor, Tensor],
        weight: Tensor,
        chunk_bytes: int,
    ) -> Tensor:
        """The loss, and every gradient of it while the logits are at hand."""
        scale = log_scale.exp()
        rows = max(1, chunk_bytes // (4 * max(len(pool), 1)))
        cuts = torch.searchsorted(masked[0], torch.arange(0, len(user) + rows, rows)).tolist()
        position, column = (x.to(user.device) for x in masked)
        d_user, d_pool = torch.empty_like(user), torch.zeros_like(pool)
        cosine = (user * target).sum(-1)
        positive = cosine * scale - log_q
        loss, d_scale = user.new_zeros(()), user.new_zeros(())
        d_positive = torch.empty_like(positive)
        for i, first in enumerate(range(0, len(user), rows)):
            part = slice(first, first + rows)
            logits = torch.mm(user[part], pool.T).mul_(scale).add_(log_weight)
            own = slice(cuts[i], cuts[i + 1])
            logits[position[own] - first, column[own]] = -torch.inf
            # One exponential per logit: shifted, summed, and scaled in place to the gradient.
            own_logit = positive[part]
            shift = torch.maximum(logits.amax(-1), own_logit)
            own_share = (own_logit - shift).exp()
            shares = logits.sub_(shift[:, None]).exp_()
            total = shares.sum(-1) + own_share
            loss += (weight[part] * (total.log() + shift - own_logit)).sum()
            d_logits = shares.mul_((weight[part] / total)[:, None])
            d_positive[part] = weight[part] * (own_share / total - 1)
            torch.mm(d_logits, pool, out=d_user[part])
            d_scale += (d_user[part] * user[part]).sum()  # Σ d_logit · cosine, without a copy
            d_pool.addmm_(d_logits.T, user[part])
        d_user.mul_(scale)
        d_pool.mul_(scale)
        d_scale = (d_scale + (d_positive * cosine).sum()) * scale
        d_target = (d_positive * scale)[:, None] * user
        d_user += (d_positive * scale)[:, None] * target
        ctx.save_for_backward(d_user, d_target, d_pool, d_scale)
        return loss

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients that ``forward`` kept, times the loss's own."""
        d_user, d_target, d_pool, d_scale = ctx.saved_tensors
        return grad * d_user, grad * d_target, grad * d_pool, grad * d_scale, *[None] * 5
