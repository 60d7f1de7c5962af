"""TransAct (KDD'23): a transformer over the last actions, fused early with the candidate.

Every action row is [action's item; action type; candidate's item] (32 + 32 + 32 = 96), newest
first; two post-norm encoder layers with one head, ReLU, FFN 32 and no positions; the read-out is
the first K = 10 rows beside a max-pool over all rows.

This file is the plain form, one candidate after the other: the reference that tests hold the
faster forms to (``transact_shared`` for training, ``transact_fast`` for serving).

Differences from Pinterest's public code, on purpose:
- an absent row (padding, or hidden by the time window) is no key, its output is zero in the
  read-out and it never enters the max-pool; there, padded rows count in the max-pool, and hidden
  rows are still read out through their residual;
- the newest action is hidden like any other inside the window; a history without rows reads out
  as zeros instead of needing one row that is always visible;
- action type 0 is padding and no type of the log ever maps to it;
- the whole read-out passes one linear layer, so that the cross layers stay narrow.

Shapes: N candidates, R requests, L actions, E features of an action (item + type), C features of
a candidate's item, D = E + C, K rows read.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from homefeed.models.config import TransActConfig
from homefeed.models.pooled_dropout import pooled_dropout


class EncoderLayer(nn.Module):
    """Post-norm, one head, as torch.nn.TransformerEncoderLayer computes it."""

    def __init__(self, dim: int, ffn_dim: int, dropout: float) -> None:
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.ffn_in = nn.Linear(dim, ffn_dim)
        self.ffn_out = nn.Linear(ffn_dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.dropout = dropout

    def drop(self, x: Tensor) -> Tensor:
        """Dropout in training only."""
        return pooled_dropout(x, self.dropout) if self.training else x

    def after_attention(self, x_NLD: Tensor, attended_NLD: Tensor) -> Tensor:
        """Residual, norm, FFN, residual, norm."""
        x_NLD = self.norm1(x_NLD + self.drop(attended_NLD))
        inner = self.drop(F.relu(self.ffn_in(x_NLD)))
        return self.norm2(x_NLD + self.drop(self.ffn_out(inner)))

    def forward(self, x_NLD: Tensor, absent_NL: Tensor) -> Tensor:
        """x_NLD [N, L, D], absent_NL bool [N, L] (never attended to) → [N, L, D]."""
        q, k, v = self.qkv(x_NLD).chunk(3, dim=-1)
        scores = torch.einsum("nsd,ntd->nst", q, k) * q.shape[-1] ** -0.5
        weights = self.drop(torch.softmax(scores + absence(absent_NL), dim=-1))
        return self.after_attention(x_NLD, self.out(torch.einsum("nst,ntd->nsd", weights, v)))


class TransAct(nn.Module):
    """The encoder and its read-out: [N, output_dim] for N candidates of R requests."""

    def __init__(self, config: TransActConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(
            EncoderLayer(config.dim, config.ffn_dim, config.dropout) for _ in range(config.layers)
        )
        self.summary = nn.Linear((config.first_k + 1) * config.dim, config.output_dim)

    def forward(
        self, history_RLE: Tensor, present_RL: Tensor, candidate_NC: Tensor, request_N: Tensor
    ) -> Tensor:
        """Score-ready summary of each candidate's fused history.

        history_RLE float [R, L, E] newest first, present_RL bool [R, L], candidate_NC float
        [N, C], request_N int64 [N] (which history) → [N, output_dim].
        """
        length = history_RLE.shape[1]
        fused = candidate_NC[:, None, :].expand(-1, length, -1)
        x_NLD = torch.cat([history_RLE[request_N], fused], dim=-1)
        present_NL = present_RL[request_N]
        for layer in self.layers:
            x_NLD = layer(x_NLD, ~present_NL)
        return self.read_out(x_NLD, present_NL)

    def read_out(self, x_NLD: Tensor, present_NL: Tensor) -> Tensor:
        """First K rows and the max over all present rows, absent ones as zeros → [N, output]."""
        rows, length, dim = x_NLD.shape
        absent = ~present_NL[..., None]
        kept = min(length, self.config.first_k)
        first = x_NLD[:, :kept].masked_fill(absent[:, :kept], 0).reshape(rows, kept * dim)
        first = F.pad(first, (0, (self.config.first_k - kept) * dim))
        if length == 0:
            return self.summary(F.pad(first, (0, dim)))
        highest = x_NLD.masked_fill(absent, float("-inf")).amax(dim=1)
        highest = highest.masked_fill(absent.all(dim=1), 0)
        return self.summary(torch.cat([first, highest], dim=-1))


def absence(absent_NL: Tensor) -> Tensor:
    """What is added to attention scores, [N, 1, L]: absent keys get no weight.

    Finite, so that a history without any row gives numbers (never read) instead of NaN.
    """
    lowest = torch.finfo(torch.float32).min / 2
    return torch.zeros(absent_NL.shape, device=absent_NL.device).masked_fill(absent_NL, lowest)[
        :, None, :
    ]
