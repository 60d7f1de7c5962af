"""How near candidates are to what the user did of late: cosines with means of the last actions.

TransAct fuses a candidate with every action and has to learn from the labels alone that what is
like the last actions is wanted; on 80,000 rows it does not (docs/lab_log.md, "Rankers"). In the
item encoder's space the likeness is there to be read: the dot product of the candidate, less the
typical item, with the mean of the user's newest 3, 10, 30 and 100 actions and with the mean of
those of each type. Taking the typical item off leaves what sets the candidate apart, as the
ranker does with TransAct's summary. A mean costs the same for one candidate as for five hundred.

Shapes: R requests, N candidates, A actions, V the item encoder's dim, T action types, M means.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

NEWEST = (3, 10, 30, 100)
GAIN = 4.0  # cosines differ by a quarter or so: about as large as the other features then


def means_of_actions(vectors_RAV: Tensor, actions_RA: Tensor, types: int) -> Tensor:
    """Means of the actions' item vectors → [R, M, V], M = types - 1 + len(NEWEST).

    vectors [R, A, V] newest first, actions int64 [R, A] their types, 0 = padding. Means are
    drawn towards zero as by one action without a vector: few actions say little.
    """
    of_type = F.one_hot(actions_RA, types)[:, :, 1:].to(vectors_RAV.dtype)
    is_new = of_type.sum(2, keepdim=True).expand(-1, -1, len(NEWEST)).clone()  # 1 where present
    for column, count in enumerate(NEWEST):
        is_new[:, count:, column] = 0
    member_RAM = torch.cat([of_type, is_new], dim=2)
    sums_RMV = torch.bmm(member_RAM.transpose(1, 2), vectors_RAV)
    return sums_RMV / (member_RAM.sum(1) + 1)[:, :, None]


def nearness(
    means_RMV: Tensor, candidate_NV: Tensor, typical_V: Tensor, request_N: Tensor
) -> Tensor:
    """Dot products of candidates, less the typical item, with their request's means → [N, M]."""
    apart_NV = (candidate_NV - typical_V) * GAIN
    if len(means_RMV) == 1:  # serving: no copy of the means for each candidate
        return apart_NV @ means_RMV[0].T
    return torch.bmm(means_RMV[request_N], apart_NV[:, :, None])[:, :, 0]


def width(types: int) -> int:
    """M: features per candidate."""
    return types - 1 + len(NEWEST)
