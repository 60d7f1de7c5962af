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
- Actions without a known time keep their place in the order; their time features are zero, and a
  last feature tells them from actions at time zero.
- The duration is log(1 + seconds), because many actions take no time. An action of a type or on a
  surface that came up after the fit stays in the history and is read as none; the paper drops it.
- With ``history_mean`` the mean of the item vectors of all actions so far is added before the
  user's L2 norm (ADR 0009): what a short fit cannot teach the blocks to carry.

Shapes: B rows, T tokens, Q read tokens, K items, I catalogue, F frozen width, H width, D dim.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from homefeed.models.config import PinnerFormerConfig
from homefeed.models.history import PackedHistories
from homefeed.models.keyed_dropout import KeyedDropout, keyed_mask
from homefeed.models.layers import Block, means_until, mlp, queries_at
from homefeed.models.time_encoding import ActionTimes

# Ids are kept small and read large: their entries then move ID_GAIN times faster than the rest
# under Adam, and start as strong in a token as the time features, which would drown them.
ID_GAIN = 10.0


class ItemTower(nn.Module):
    """Items as [frozen vector, learned id embedding], and the MLP to unit vectors.

    ``inputs`` gives the former [K, F + E] (also part of a token), ``forward`` the latter [K, D].
    Only items that training saw have an id of their own: all others share id 0, which training
    shows as a negative, so that an item without any input is not found by chance. With
    ``id_dropout`` some ids read as 0 in training, and vectors alone have to do.
    """

    def __init__(self, frozen_IF: Tensor, known_I: Tensor, config: PinnerFormerConfig) -> None:
        super().__init__()
        self.register_buffer("frozen", frozen_IF, persistent=False)
        present = frozen_IF[frozen_IF.any(dim=1)]
        scale = present.square().mean().rsqrt() if present.numel() else torch.ones(())
        self.register_buffer("frozen_scale", scale, persistent=False)  # to entries of size one
        self.register_buffer("own_id", torch.arange(len(frozen_IF)).where(known_I, 0))
        self.num_rows = len(frozen_IF)  # I + 1
        self.in_features = frozen_IF.shape[1] + config.id_embedding_dim
        if self.in_features == 0:
            raise ValueError("items need frozen vectors or id_embedding_dim > 0: both are 0")
        self.id_dropout = config.id_dropout
        self.ids = nn.Embedding(self.num_rows, config.id_embedding_dim)
        self.mlp = mlp(self.in_features, config.item_hidden, config.dim)

    def inputs(self, item_K: Tensor, step_key: int | None = None) -> Tensor:
        """Item indices [K] → [K, F + E]; ``step_key`` keys the id dropout in training."""
        item = item_K.where(item_K < self.num_rows, 0)  # added after the fit: unknown
        own = self.own_id[item]
        if self.training and self.id_dropout and step_key is not None:
            own = own * keyed_mask(item, step_key, self.id_dropout)
        return torch.cat((self.frozen[item] * self.frozen_scale, self.ids(own) * ID_GAIN), dim=-1)

    def forward(self, item_K: Tensor, step_key: int | None = None) -> Tensor:
        """Item indices [K] → unit vectors [K, D] float32."""
        return self.vectors(self.inputs(item_K, step_key))

    def vectors(self, inputs_KX: Tensor) -> Tensor:
        """What ``inputs`` gave [K, F + E] → unit vectors [K, D] float32."""
        return F.normalize(self.mlp(inputs_KX).float(), dim=-1)


class PinnerFormer(nn.Module):
    """The user tower and the item tower in one module.

    >>> frozen = torch.zeros(11, 0)  # ten items and the padding row, ids only
    >>> known = torch.ones(11, dtype=torch.bool)
    >>> config = PinnerFormerConfig(width=32)
    >>> net = PinnerFormer(config, frozen, known, num_actions=3, num_surfaces=2)
    >>> net.embed_items(torch.tensor([1, 2])).shape
    torch.Size([2, 256])
    """

    def __init__(
        self,
        config: PinnerFormerConfig,
        frozen_IF: Tensor,
        known_I: Tensor,
        *,
        num_actions: int,
        num_surfaces: int,
    ) -> None:
        super().__init__()
        self.config = config
        H = config.width
        self.items = ItemTower(frozen_IF, known_I, config)
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
                nn.init.normal_(parameter, std=1 / ID_GAIN if "ids" in name else 1.0)
                with torch.no_grad():
                    parameter[0].zero_()  # padding, and the items without an id of their own
            elif name == "positions.weight":
                nn.init.normal_(parameter, std=0.02)
            else:
                nn.init.xavier_uniform_(parameter)

    def embed_items(self, item_K: Tensor, step_key: int | None = None) -> Tensor:
        """Item indices [K] → unit vectors [K, D]."""
        return self.items(item_K, step_key)

    def forward(
        self,
        histories: PackedHistories,
        read_Q: Tensor,
        key_T: Tensor | None = None,
        step_key: int | None = None,
    ) -> Tensor:
        """User vectors at the tokens ``read_Q`` int64 [Q], ascending → unit vectors [Q, D].

        ``key_T`` int32 [T] and ``step_key`` key the dropouts in training (keyed_dropout.py).
        """
        if not len(read_Q):  # a step of few users leaves some workers none
            return torch.zeros(0, self.config.dim, device=read_Q.device)
        queries = queries_at(histories, read_Q)
        item_TX = self.items.inputs(histories.item, step_key)
        x = self._tokens(histories, item_TX)  # (T, H)
        x = self.token_dropout(x, key_T)
        for block in self.blocks[:-1]:
            x = block(x, histories, key_T)
        x = self.blocks[-1].at(x, queries, key_T)  # (Q, H)
        user_QD = self.out(self.out_norm(x)).float()
        if self.config.history_mean:
            user_QD = user_QD + means_until(self.items.vectors(item_TX), queries)
        return F.normalize(user_QD, dim=-1)

    def _tokens(self, h: PackedHistories, item_TX: Tensor) -> Tensor:
        """Concatenate the features of each action and project them once (A.2).

        A type or surface that came up after the fit is read as none, as an unknown item is.
        """
        action = torch.where(h.action < self.actions.num_embeddings, h.action, 0)
        surface = torch.where(h.surface < self.surfaces.num_embeddings, h.surface, 0)
        features = torch.cat(
            (
                item_TX,
                self.actions(action),
                self.surfaces(surface),
                torch.log1p(h.duration)[:, None],
                self.times(h.time_s, h.age_s, h.gap_s, h.time_known, h.gap_known),
            ),
            dim=-1,
        )
        return self.project(features) + self.positions(h.age_place)
