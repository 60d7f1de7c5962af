"""What a ranker reads: R requests with their users, and N candidates that point to them.

Shapes: R requests, N candidates of all requests, A actions (longest history of the batch), D the
user vector's dim, S item statistics, F familiarity features.
"""

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class RankerBatch:
    """The user side once per request, the candidate side once per candidate."""

    items: Tensor  # (R, A) int64 item index, newest first; 0 = unknown item
    actions: Tensor  # (R, A) int64 action type; 0 = padding, always behind the last action
    user_vector: Tensor  # (R, D) float32; zeros where the user has none
    vector_age_s: Tensor  # (R,) float32 seconds from the vector's as-of to the request
    time_s: Tensor  # (R,) int64 request time
    surface: Tensor  # (R,) int64
    request: Tensor  # (N,) int64 row of the user side
    candidates: Tensor  # (N,) int64 item index
    stats: Tensor  # (N, S) float32 item statistics as of the request's day
    familiarity: Tensor  # (N, F) float32, homefeed.data.familiarity.FEATURES

    def to(self, device: torch.device | str) -> "RankerBatch":
        """The same batch on another device."""
        return RankerBatch(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


@dataclass(frozen=True, kw_only=True)
class ItemTables:
    """Vectors of all items by index, row 0 zeros; they live beside the index, not in the model.

    ``match`` holds, per kind of user vector, the items in that user encoder's own space.
    """

    vectors: np.ndarray  # float32 [I+1, V] the item encoder's (contents may be joined on)
    match: dict[str, np.ndarray]  # kind of user vector → float32 [I+1, D]
