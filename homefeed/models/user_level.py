"""How readily a user acts on anything just now: the part of a logit that no candidate changes.

Read from the user vector, the length of the history, the shares of action types among the newest
actions, and a mean over the actions of a small network (DeepSets) that sees which item met which
action. Its inputs are detached: the level shapes no embedding that relevance reads.

Shapes: R requests, A actions, E features of an action, F state features, H heads.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

RECENT = (5, 20, 100)  # newest actions whose types are counted
POOLED = (10, 100)  # newest actions whose features are pooled


class UserLevel(nn.Module):
    """Logits [R, H] of a user's level; ``action_dim`` 0 leaves the history out."""

    def __init__(
        self, *, state_dim: int, action_dim: int, types: int, hidden: int, heads: int
    ) -> None:
        super().__init__()
        self.types = types
        width = state_dim
        self.action: nn.Linear | None = None
        if action_dim:
            self.action = nn.Linear(action_dim, hidden)
            width += len(RECENT) * types + len(POOLED) * hidden
        self.logits = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, heads))

    def forward(self, state_RF: Tensor, actions_RA: Tensor, history_RAE: Tensor) -> Tensor:
        """state_RF [R, F], actions_RA int64 [R, A] newest first, history_RAE [R, A, E]."""
        parts = [state_RF.detach()]
        if self.action is not None:
            parts += [_shares(actions_RA[:, :count], self.types) for count in RECENT]
            features = F.relu(self.action(history_RAE.detach()))
            present = (actions_RA > 0)[..., None].to(features.dtype)
            for count in POOLED:
                total = (features[:, :count] * present[:, :count]).sum(1)
                parts.append(total / (present[:, :count].sum(1) + 1))
        return self.logits(torch.cat(parts, dim=-1))


def _shares(actions_RA: Tensor, types: int) -> Tensor:
    """Shares of the action types, padding left out, drawn a little towards none → [R, types]."""
    counts = torch.zeros(len(actions_RA), types, device=actions_RA.device)
    counts.scatter_add_(1, actions_RA, torch.ones_like(actions_RA, dtype=counts.dtype))
    counts[:, 0] = 0
    return counts / (counts.sum(1, keepdim=True) + 1)
