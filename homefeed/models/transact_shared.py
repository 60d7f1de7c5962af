"""TransAct's encoder with the work of one request done once for all of its candidates.

With early fusion a row is x_s = [a_s; c]: the action's part a_s is the same for every candidate of
a request. So the first layer's projections split into an action's part (per request) and a
candidate's part (per candidate), and its scores into

    q_s · k_t = Qa_s · Ka_t + qc · Ka_t + (Qa_s + qc) · kc

of which the last term is equal for all t and cancels in the softmax. Used in training and in
offline evaluation; the same result as ``TransAct.forward`` up to rounding.

Shapes: N candidates, R requests, L actions, E an action's features, C a candidate's, D = E + C.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from homefeed.models.transact import EncoderLayer, TransAct, absence


def encode_shared(
    transact: TransAct,
    history_RLE: Tensor,
    present_RL: Tensor,
    candidate_NC: Tensor,
    request_N: Tensor,
) -> Tensor:
    """What ``TransAct.forward`` computes, with the same arguments → [N, output_dim]."""
    if history_RLE.shape[1] == 0:
        return transact(history_RLE, present_RL, candidate_NC, request_N)
    present_NL = _per_candidate(present_RL, request_N)
    bias_N1L = absence(~present_NL)
    x_NLD = _first_layer(transact.layers[0], history_RLE, candidate_NC, request_N, bias_N1L)
    for layer in transact.layers[1:]:
        x_NLD = _layer(layer, x_NLD, bias_N1L)
    return transact.read_out(x_NLD, present_NL)


def _first_layer(
    layer: EncoderLayer,
    history_RLE: Tensor,
    candidate_NC: Tensor,
    request_N: Tensor,
    bias_N1L: Tensor,
) -> Tensor:
    actions_dim = history_RLE.shape[-1]
    of_action, of_candidate = layer.qkv.weight.split([actions_dim, candidate_NC.shape[-1]], dim=1)
    qa, ka, va = F.linear(history_RLE, of_action).chunk(3, dim=-1)  # (R, L, D) each
    qc, _, vc = F.linear(candidate_NC, of_candidate, layer.qkv.bias).chunk(3, dim=-1)  # (N, D)
    scale = qa.shape[-1] ** -0.5

    shared_RLL = torch.bmm(qa * scale, ka.transpose(1, 2))
    key_NLD = _per_candidate(ka, request_N)
    own_N1L = torch.bmm((qc * scale)[:, None, :], key_NLD.transpose(1, 2))
    scores = _per_candidate(shared_RLL, request_N) + (own_N1L + bias_N1L)
    weights = layer.drop(torch.softmax(scores, dim=-1))
    value_NLD = _per_candidate(va, request_N)
    attended = torch.bmm(weights, value_NLD) + weights.sum(-1, keepdim=True) * vc[:, None, :]

    fused = candidate_NC[:, None, :].expand(-1, history_RLE.shape[1], -1)
    x_NLD = torch.cat([_per_candidate(history_RLE, request_N), fused], dim=-1)
    return layer.after_attention(x_NLD, layer.out(attended))


def _layer(layer: EncoderLayer, x_NLD: Tensor, bias_N1L: Tensor) -> Tensor:
    q, k, v = layer.qkv(x_NLD).chunk(3, dim=-1)
    scores = torch.baddbmm(bias_N1L, q, k.transpose(1, 2), alpha=q.shape[-1] ** -0.5)
    weights = layer.drop(torch.softmax(scores, dim=-1))
    return layer.after_attention(x_NLD, layer.out(torch.bmm(weights, v)))


def _per_candidate(x_R: Tensor, request_N: Tensor) -> Tensor:
    """Rows [R, ...] → [N, ...]; no copy where every request has one candidate."""
    rows = len(x_R)
    if rows == len(request_N) and bool((request_N == torch.arange(rows).to(request_N)).all()):
        return x_R
    return x_R.index_select(0, request_N)
