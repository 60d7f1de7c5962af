"""Transformer layers over packed tokens: every matrix product without padding.

Pre-norm blocks as in PinnerFormer (KDD'22, Eq. 3): x + MHSA(LN(x)), then x + FFN(LN(x)), FFN of
4H with GELU. Attention is causal: tokens are chronological, so a token sees itself and older ones.

The last block of a network is asked only at the tokens that are read (``queries``): its keys and
values need all tokens, its queries, output projection and FFN only the read ones. The result is
the same and, at two layers, a third of the work is gone.

Shapes: T tokens, Q read tokens, B rows, L longest row of a group, H width, n heads.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from homefeed.models.history import Group, PackedHistories
from homefeed.models.keyed_dropout import KeyedDropout

# Not cuDNN's: it makes a plan for each new shape, and here every batch has shapes of its own.
_ATTENTION = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two linear layers with a GELU between: [.., inputs] → [.., outputs]."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, outputs))


@dataclass(frozen=True, kw_only=True)
class Queries:
    """The tokens at which the last block is read, padded per group of rows."""

    token: Tensor  # (Q,) int64, ascending: so grouped by row
    groups: tuple["QueryGroup", ...]


@dataclass(frozen=True, kw_only=True)
class QueryGroup:
    """One group's queries in a grid [rows, most], and which keys each of them may see."""

    group: Group
    tokens: slice  # of the Q queries
    most: int  # queries of the row that has most
    slot: Tensor  # (queries,) place in the padded [rows * most] grid
    visible: Tensor  # (rows, 1, most, L) bool


def queries_at(histories: PackedHistories, token: Tensor) -> Queries:
    """Prepare reading at ``token`` int64 [Q], ascending, on the host."""
    token_Q = token.cpu().numpy()
    end = histories.lengths.cumsum()
    row = end.searchsorted(token_Q, side="right")
    place = token_Q - (end - histories.lengths)[row]
    device = histories.item.device
    groups = []
    for group in histories.groups:
        first, last = token_Q.searchsorted([group.tokens.start, group.tokens.stop])
        if first == last:
            continue
        row_Q = row[first:last] - group.rows.start
        count = np.bincount(row_Q, minlength=group.rows.stop - group.rows.start)
        most = int(count.max())
        nth = np.arange(last - first) - (count.cumsum() - count)[row_Q]
        slot = torch.from_numpy(row_Q * most + nth)
        limit = torch.zeros(len(count) * most, dtype=torch.int64)
        limit[slot] = torch.from_numpy(place[first:last])
        visible = torch.arange(group.longest) <= limit.view(len(count), 1, most, 1)
        groups.append(
            QueryGroup(
                group=group,
                tokens=slice(int(first), int(last)),
                most=most,
                slot=slot.to(device),
                visible=visible.to(device),
            )
        )
    return Queries(token=token.to(device), groups=tuple(groups))


def means_until(x_TD: Tensor, queries: Queries) -> Tensor:
    """Mean over each read token and the older tokens of its row: [T, D] → [Q, D] float32."""
    means = []
    for g in queries.groups:
        seen = g.visible[:, 0].to(x_TD.dtype)  # (rows, most, L)
        tokens = x_TD[g.group.tokens]
        (x_B1LD,) = _grid(tokens, g.group.slot, len(seen), g.group.longest, 1, 1)
        mean = torch.bmm(seen, x_B1LD[:, 0]).float() / seen.sum(-1, keepdim=True)
        means.append(_ungrid(mean[:, None], g.slot))
    return torch.cat(means)


class CausalAttention(nn.Module):
    """Multi-head self-attention over packed histories.

    Shapes: x_TH [T, H] → [T, H]; ``at`` reads Q tokens only → [Q, H].
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"heads ({heads}) must divide width ({width})")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x_TH: Tensor, histories: PackedHistories) -> Tensor:
        """Every token attends to itself and to the older tokens of its row."""
        qkv = self.qkv(x_TH)  # (T, 3H)
        with sdpa_kernel(_ATTENTION):
            read = [
                F.scaled_dot_product_attention(*self._heads(qkv, g, 3), is_causal=True)
                for g in histories.groups
            ]
        read = [_ungrid(x, g.slot) for x, g in zip(read, histories.groups, strict=True)]
        return self.out(torch.cat(read))

    def at(self, x_TH: Tensor, queries: Queries) -> Tensor:
        """The same output at the read tokens only."""
        width = x_TH.shape[1]
        weight, bias = self.qkv.weight, self.qkv.bias
        kv = F.linear(x_TH, weight[width:], bias[width:])  # (T, 2H)
        q = F.linear(x_TH[queries.token], weight[:width], bias[:width])  # (Q, H)
        read = []
        for g in queries.groups:
            k_BnLh, v_BnLh = self._heads(kv, g.group, 2)
            rows = g.visible.shape[0]
            (q_BnQh,) = _grid(q[g.tokens], g.slot, rows, g.most, 1, self.heads)
            with sdpa_kernel(_ATTENTION):
                out = F.scaled_dot_product_attention(q_BnQh, k_BnLh, v_BnLh, attn_mask=g.visible)
            read.append(_ungrid(out, g.slot))
        return self.out(torch.cat(read))

    def _heads(self, x: Tensor, g: Group, parts: int) -> tuple[Tensor, ...]:
        rows = g.rows.stop - g.rows.start
        return _grid(x[g.tokens], g.slot, rows, g.longest, parts, self.heads)


def _grid(
    x: Tensor, slot: Tensor, rows: int, longest: int, parts: int, heads: int
) -> tuple[Tensor, ...]:
    """[tokens, parts * H] → ``parts`` tensors [rows, heads, longest, H / heads], zero padded."""
    if len(x) == rows * longest:  # no padding in this group
        grid = x
    else:
        grid = x.new_zeros(rows * longest, x.shape[1]).index_copy(0, slot, x)
    return grid.view(rows, longest, parts, heads, -1).permute(2, 0, 3, 1, 4).unbind(0)


def _ungrid(x_BnLh: Tensor, slot: Tensor) -> Tensor:
    """[rows, heads, longest, H / heads] → the real tokens [tokens, H]."""
    rows, heads, longest, part = x_BnLh.shape
    grid = x_BnLh.transpose(1, 2).reshape(rows * longest, heads * part)
    return grid if len(slot) == len(grid) else grid[slot]


class Block(nn.Module):
    """One pre-norm transformer block with keyed dropout on both branches."""

    def __init__(self, width: int, heads: int, dropout: float, site: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = CausalAttention(width, heads)
        self.ffn_norm = nn.LayerNorm(width)
        self.ffn = mlp(width, 4 * width, width)
        self.attention_dropout = KeyedDropout(dropout, site)
        self.ffn_dropout = KeyedDropout(dropout, site + 1)

    def forward(self, x_TH: Tensor, histories: PackedHistories, key_T: Tensor | None) -> Tensor:
        """x_TH [T, H] → [T, H]."""
        x = x_TH + self.attention_dropout(
            self.attention(self.attention_norm(x_TH), histories), key_T
        )
        return x + self.ffn_dropout(self.ffn(self.ffn_norm(x)), key_T)

    def at(self, x_TH: Tensor, queries: Queries, key_T: Tensor | None) -> Tensor:
        """The block's output at the read tokens only: [Q, H]."""
        key = None if key_T is None else key_T[queries.token]
        read = self.attention.at(self.attention_norm(x_TH), queries)
        x = x_TH[queries.token] + self.attention_dropout(read, key)
        return x + self.ffn_dropout(self.ffn(self.ffn_norm(x)), key)
