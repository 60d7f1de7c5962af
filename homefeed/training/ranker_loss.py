"""Weighted binary cross-entropy over heads, after TransAct (KDD'23): w_h = 1 + Σ_a M[h, a] y_a.

Differs from the print in three points: the 1, so that a row without any label weighs 1 with an
empty M; the weight of a user by state, place and gender is left out, because public logs hold none
of these; and the negative term, printed as (1 - y)(1 - log f), is (1 - y) log(1 - f).

Shapes: N rows, H heads.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from homefeed.errors import ConfigError


def label_matrix(
    heads: tuple[str, ...],
    head_weights: Mapping[str, float],
    matrix: Mapping[str, Mapping[str, float]],
) -> tuple[Tensor, Tensor]:
    """Named weights → head weights [H] and M [H, H]; ConfigError for an unknown head."""
    for name in (*head_weights, *matrix, *(a for row in matrix.values() for a in row)):
        if name not in heads:
            raise ConfigError(f"unknown head `{name}` in the ranker's weights; heads: {heads}")
    of_head = torch.tensor([float(head_weights.get(h, 1.0)) for h in heads])
    of_label = torch.tensor([[float(matrix.get(h, {}).get(a, 0.0)) for a in heads] for h in heads])
    return of_head, of_label


def weighted_bce(
    logits_NH: Tensor,
    labels_NH: Tensor,
    weight_N: Tensor,
    head_weight_H: Tensor,
    matrix_HH: Tensor,
) -> Tensor:
    """Sum over rows and heads; labels float [N, H], weight_N [N] of the rows → scalar."""
    loss = F.binary_cross_entropy_with_logits(logits_NH, labels_NH, reduction="none")
    weight = head_weight_H * (1 + torch.einsum("na,ha->nh", labels_NH, matrix_HH))
    return torch.einsum("nh,nh,n->", loss, weight, weight_N)
