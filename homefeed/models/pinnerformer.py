"""PinnerFormer (Pancha et al., KDD'22): a user's interests as one vector, learned end to end.

Built as in the paper (sections 3.2, A.1, A.2): a token is item, action type, surface, log duration
and three encoded times, concatenated and projected once; learned positions counted from the
newest action; pre-norm causal blocks; at every position LayerNorm and an H→4H→D GELU MLP, then
the L2 norm. The embedding of the newest action is the user's.

What deliberately differs:
- Items: PinSage vectors are one possible input. An item is [frozen vector, learned id embedding],
  either of which may be absent; the same input feeds the history's tokens and the item tower.
- Rows are stored oldest first; the learned position and "time since the latest action" count from
  the newest, as the paper's newest-first rows do. Strict causality therefore means: what a newer
  action IS (item, type, surface, duration) never reaches an older output; how many newer actions
  there are, and when the newest happened, does (it does in the paper, too).
- Actions without a known time keep their place in the order; their time features are zero.

Shapes: B rows, T tokens, Q read tokens, K items, I catalogue, F frozen width, H width, D dim.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from homefeed.models.history import PackedHistories
from homefeed.models.keyed_dropout import KeyedDropout
from homefeed.models.layers import Block, mlp, queries_at
from homefeed.models.time_encoding import ActionTimes


@dataclass(frozen=True, kw_only=True)
class PinnerFormerConfig:
    """The network's shape. Published best: width 768, layers 6, heads 8, dim 256, length 256."""

    dim: int = 256  # D: of user and item vectors
    width: int = 256  # H: of the transformer
    layers: int = 2
    heads: int = 8
    history_length: int = 256  # M: newest actions that are read
    id_embedding_dim: int = 64  # of the learned item ids; 0 = content only, as in the paper
    type_embedding_dim: int = 16  # of action types and of surfaces
    item_hidden: int = 256  # of the item tower's MLP
    dropout: float = 0.1  # on tokens and on both branches of each block

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"heads ({self.heads}) must divide width ({self.width})")
        if self.width % 4:
            raise ValueError(f"width ({self.width}) must be a multiple of 4 (keyed dropout)")


class ItemTower(nn.Module):
    """Items as [frozen vector, learned id embedding], and the MLP to unit vectors.

    ``inputs`` gives the former [K, F + E] (also part of a token), ``forward`` the latter [K, D].
    Item 0 and items added after the fit read as zeros.
    """

    def __init__(self, frozen_IF: Tensor, config: PinnerFormerConfig) -> None:
        super().__init__()
        self.register_buffer("frozen", frozen_IF, persistent=False)
        self.num_items = len(frozen_IF)
        self.in_features = frozen_IF.shape[1] + config.id_embedding_dim
        if self.in_features == 0:
            raise ValueError("items need frozen vectors or id_embedding_dim > 0: both are 0")
        self.ids = nn.Embedding(self.num_items, config.id_embedding_dim, padding_idx=0)
        self.mlp = mlp(self.in_features, config.item_hidden, config.dim)

    def inputs(self, item_K: Tensor) -> Tensor:
        """Item indices [K] → [K, F + E]."""
        known = item_K.where(item_K < self.num_items, 0)
        return torch.cat((self.frozen[known], self.ids(known)), dim=-1)

    def forward(self, item_K: Tensor) -> Tensor:
        """Item indices [K] → unit vectors [K, D] float32."""
        return F.normalize(self.mlp(self.inputs(item_K)).float(), dim=-1)


class PinnerFormer(nn.Module):
    """The user tower and the item tower in one module.

    >>> frozen = torch.zeros(11, 0)  # ten items and the padding row, ids only
    >>> net = PinnerFormer(PinnerFormerConfig(width=32), frozen, num_actions=3, num_surfaces=2)
    >>> net.embed_items(torch.tensor([1, 2])).shape
    torch.Size([2, 256])
    """

    def __init__(
        self, config: PinnerFormerConfig, frozen_IF: Tensor, *, num_actions: int, num_surfaces: int
    ) -> None:
        super().__init__()
        self.config = config
        H = config.width
        self.items = ItemTower(frozen_IF, config)
        self.actions = nn.Embedding(num_actions, config.type_embedding_dim, padding_idx=0)
        self.surfaces = nn.Embedding(num_surfaces, config.type_embedding_dim, padding_idx=0)
        self.times = ActionTimes()
        features = self.items.in_features + 2 * config.type_embedding_dim + 1
        self.project = nn.Linear(features + self.times.out_features, H)
        self.positions = nn.Embedding(config.history_length, H)
        self.token_dropout = KeyedDropout(config.dropout, site=0)
        self.blocks = nn.ModuleList(
            Block(H, config.heads, config.dropout, site=1 + 2 * i) for i in range(config.layers)
        )
        self.out_norm = nn.LayerNorm(H)
        self.out = mlp(H, 4 * H, config.dim)
        self._initialise()

    def _initialise(self) -> None:
        for name, parameter in self.named_parameters():
            if "norm" in name:
                continue
            if name.endswith("bias") or name.endswith("phase"):
                nn.init.zeros_(parameter)
            elif name in ("items.ids.weight", "actions.weight", "surfaces.weight"):
                nn.init.normal_(parameter, std=0.1)
                with torch.no_grad():
                    parameter[0].zero_()
            elif name == "positions.weight":
                nn.init.normal_(parameter, std=0.02)
            else:
                nn.init.xavier_uniform_(parameter)

    def embed_items(self, item_K: Tensor) -> Tensor:
        """Item indices [K] → unit vectors [K, D]."""
        return self.items(item_K)

    def forward(
        self, histories: PackedHistories, read_Q: Tensor, key_T: Tensor | None = None
    ) -> Tensor:
        """User vectors at the tokens ``read_Q`` int64 [Q], ascending → unit vectors [Q, D].

        ``key_T`` int32 [T] keys the dropout in training (models/keyed_dropout.py).
        """
        queries = queries_at(histories, read_Q)
        x = self._tokens(histories)  # (T, H)
        x = self.token_dropout(x, key_T)
        for block in self.blocks[:-1]:
            x = block(x, histories, key_T)
        x = self.blocks[-1].at(x, queries, key_T)  # (Q, H)
        return F.normalize(self.out(self.out_norm(x)).float(), dim=-1)

    def _tokens(self, h: PackedHistories) -> Tensor:
        """Concatenate the features of each action and project them once (A.2)."""
        features = torch.cat(
            (
                self.items.inputs(h.item),
                self.actions(h.action),
                self.surfaces(h.surface),
                torch.log1p(h.duration)[:, None],
                self.times(h.time_s, h.age_s, h.gap_s, h.time_known, h.gap_known),
            ),
            dim=-1,
        )
        return self.project(features) + self.positions(h.age_place)
