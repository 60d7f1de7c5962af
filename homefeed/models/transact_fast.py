"""TransAct for one request at serving: exact algebra, nothing per candidate that can be shared.

The first layer's softmax over scores A[s, t] + v[b, t] (see ``transact_shared``) factors into
exp(A) — once per request — times exp(v) — once per candidate —, so its attention is one product
of the shared [L, L] table with the candidate's weighted values. Values and output projections are
folded into one matrix. In later layers queries and keys are folded: with one head,
q_s · k_t = x_s (Wq' Wk) x_t + (bq' Wk) x_t + terms that the softmax cancels, and the output
projection is folded into the values'. This is inference only: no dropout, and sums are made in
place, which saves a twentieth.

Cost per candidate at L = 100, D = 96, FFN 32, two layers: 11.9 MFLOP instead of 24.8.

The two exponentials are shifted by their own maxima. exp(v) may underflow where a candidate's
scores spread over more than ``SAFE_SPREAD``; such candidates take the direct softmax.

Shapes: B candidates of a chunk, L actions, E features of an action, C of a candidate, D = E + C.
"""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from homefeed.models.transact import EncoderLayer, TransAct

SAFE_SPREAD = 60.0  # exp(-60) ~ 1e-26: what float32 still loses below it is under 1e-11 of the sum


@dataclass(frozen=True)
class FirstLayer:
    """The first layer's weights, split into an action's and a candidate's part."""

    query_a: Tensor  # (D, E) scaled by 1/√D
    key_a: Tensor  # (D, E)
    value_a: Tensor  # (D, E) output projection folded in
    query_c: Tensor  # (D, C) scaled
    query_bias: Tensor  # (D,) scaled
    value_c: Tensor  # (D, C) output projection and the residual of the candidate folded in
    value_bias: Tensor  # (D,)


@dataclass(frozen=True)
class LaterLayer:
    """A later layer's attention with queries and keys, values and output folded."""

    score: Tensor  # (D, D): x_s → what is multiplied with x_t
    score_bias: Tensor  # (D,)
    value: Tensor  # (D, D)
    value_bias: Tensor  # (D,)


@dataclass(frozen=True)
class RequestSide:
    """What one request's history gives, for all of its candidates."""

    score: Tensor  # A[s, t] minus its maximum over t
    weight: Tensor  # exp of it
    key: Tensor
    value: Tensor
    residual: Tensor  # the action's part of every row, zeros in the candidate's place


class FastTransAct:
    """The folded encoder. Rows must all be present: leave out padding before calling."""

    def __init__(self, transact: TransAct, dtype: torch.dtype = torch.float32) -> None:
        c = transact.config
        self.config, self.dtype = c, dtype
        self.actions_dim = c.item_dim + c.action_dim
        first, *later = transact.layers
        self.first = _fold_first(first, self.actions_dim, dtype)
        self.later = [_fold_later(layer, dtype) for layer in later]
        self.tails = [_tail(layer, dtype) for layer in transact.layers]
        self.summary = _cast(dtype, transact.summary.weight, transact.summary.bias)

    def request_side(self, history_LE: Tensor) -> RequestSide:
        """history_LE float [L, E], newest first, all rows present."""
        f, h = self.first, history_LE.to(self.dtype)
        key = F.linear(h, f.key_a)
        score = (F.linear(h, f.query_a) @ key.T).float()
        score = score - score.amax(1, keepdim=True)
        return RequestSide(
            score=score,
            weight=score.exp().to(self.dtype),
            key=key,
            value=F.linear(h, f.value_a),
            residual=F.pad(h, (0, self.config.item_dim)),
        )

    def __call__(
        self, history_LE: Tensor, candidate_NC: Tensor, chunk: int, pool: Executor | None = None
    ) -> Tensor:
        """Summaries float32 [N, output_dim] of N candidates, about ``chunk`` at a time.

        With a ``pool`` of threads its chunks are computed side by side: the result is the same.
        """
        if len(history_LE) == 0:
            return self.summary[1].float().expand(len(candidate_NC), -1)
        request = self.request_side(history_LE)
        candidate_NC = candidate_NC.to(self.dtype)
        query = F.linear(candidate_NC, self.first.query_c, self.first.query_bias)
        own_NL = (query @ request.key.T).float()
        own_NL = own_NL - own_NL.amax(1, keepdim=True)
        constant_ND = F.linear(candidate_NC, self.first.value_c, self.first.value_bias)
        is_safe = own_NL.numel() == 0 or bool(own_NL.amin() > -SAFE_SPREAD)
        run = self.chunk if is_safe else self.direct_chunk
        count = max(1, round(len(candidate_NC) / chunk))  # even parts: no short one at the end
        chunks = zip(own_NL.tensor_split(count), constant_ND.tensor_split(count), strict=True)
        if pool is None:
            return torch.cat([run(request, own, constant) for own, constant in chunks]).float()

        def in_thread(parts: tuple[Tensor, Tensor]) -> Tensor:
            with torch.inference_mode():  # a thread's own switch
                return run(request, *parts)

        return torch.cat(list(pool.map(in_thread, chunks))).float()

    def chunk(self, request: RequestSide, own_BL: Tensor, constant_BD: Tensor) -> Tensor:
        """One chunk by the factored softmax → [B, output_dim]."""
        weight_BL = own_BL.exp().to(self.dtype)
        x_BLD = torch.matmul(request.weight, weight_BL[:, :, None] * request.value)
        total_BL1 = (weight_BL @ request.weight.T)[:, :, None]
        torch.addcdiv(constant_BD[:, None, :], x_BLD, total_BL1, out=x_BLD)
        return self._after_first(x_BLD, request)

    def direct_chunk(self, request: RequestSide, own_BL: Tensor, constant_BD: Tensor) -> Tensor:
        """One chunk by the softmax over the sum of both scores: any spread → [B, output_dim]."""
        weights = torch.softmax(request.score + own_BL[:, None, :], dim=-1).to(self.dtype)
        x_BLD = torch.matmul(weights, request.value).add_(constant_BD[:, None, :])
        return self._after_first(x_BLD, request)

    def _after_first(self, x_BLD: Tensor, request: RequestSide) -> Tensor:
        """All behind the first attention; writes into ``x_BLD``, which its caller has made."""
        x_BLD += request.residual
        x_BLD = self.tails[0](x_BLD)
        for layer, tail in zip(self.later, self.tails[1:], strict=True):
            scores = torch.bmm(
                F.linear(x_BLD, layer.score, layer.score_bias), x_BLD.transpose(1, 2)
            )
            mixed = torch.bmm(torch.softmax(scores, dim=-1), x_BLD)
            x_BLD = tail(F.linear(mixed, layer.value, layer.value_bias).add_(x_BLD))
        return self._read_out(x_BLD)

    def _read_out(self, x_BLD: Tensor) -> Tensor:
        rows, length, dim = x_BLD.shape
        kept = min(length, self.config.first_k)
        first = x_BLD[:, :kept].reshape(rows, kept * dim)
        first = F.pad(first, (0, (self.config.first_k - kept) * dim))
        # The maximum of bfloat16 is not vectorised: widened, it takes a fifth of the time.
        highest = x_BLD.float().amax(dim=1).to(x_BLD.dtype)
        return F.linear(torch.cat([first, highest], dim=-1), *self.summary)


def _fold_first(layer: EncoderLayer, actions_dim: int, dtype: torch.dtype) -> FirstLayer:
    query, key, value = layer.qkv.weight.detach().double().chunk(3)
    query_bias, _, value_bias = layer.qkv.bias.detach().double().chunk(3)
    out, dim = layer.out.weight.detach().double(), layer.out.weight.shape[0]
    scale = dim**-0.5
    value = out @ value
    # The candidate's own columns of the residual x_s = [a_s; c] ride on its constant part.
    residual = torch.eye(dim, dtype=torch.double)[:, actions_dim:].to(value.device)
    parts = (
        query[:, :actions_dim] * scale,
        key[:, :actions_dim],
        value[:, :actions_dim],
        query[:, actions_dim:] * scale,
        query_bias * scale,
        value[:, actions_dim:] + residual,
        out @ value_bias + layer.out.bias.detach().double(),
    )
    return FirstLayer(*_cast(dtype, *parts))


def _fold_later(layer: EncoderLayer, dtype: torch.dtype) -> LaterLayer:
    query, key, value = layer.qkv.weight.detach().double().chunk(3)
    query_bias, _, value_bias = layer.qkv.bias.detach().double().chunk(3)
    out = layer.out.weight.detach().double()
    scale = out.shape[0] ** -0.5
    parts = (
        key.T @ query * scale,
        query_bias @ key * scale,
        out @ value,
        out @ value_bias + layer.out.bias.detach().double(),
    )
    return LaterLayer(*_cast(dtype, *parts))


def _tail(layer: EncoderLayer, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """What follows attention's residual sum: norm, FFN, residual, norm."""
    norm1 = _cast(dtype, layer.norm1.weight, layer.norm1.bias)
    norm2 = _cast(dtype, layer.norm2.weight, layer.norm2.bias)
    inner = _cast(dtype, layer.ffn_in.weight, layer.ffn_in.bias)
    outer = _cast(dtype, layer.ffn_out.weight, layer.ffn_out.bias)
    eps, shape = layer.norm1.eps, (layer.norm1.weight.shape[0],)

    def tail(x_BLD: Tensor) -> Tensor:
        x_BLD = F.layer_norm(x_BLD, shape, *norm1, eps)
        ffn = F.linear(F.linear(x_BLD, *inner).relu_(), *outer)
        return F.layer_norm(ffn.add_(x_BLD), shape, *norm2, eps)

    return tail


def _cast(dtype: torch.dtype, *tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(t.detach().to(dtype).contiguous() for t in tensors)
