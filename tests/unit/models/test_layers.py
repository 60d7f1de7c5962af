import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from homefeed.models.history import HistoryBatch, pack
from homefeed.models.layers import Block, CausalAttention, means_until, queries_at


def _histories(lengths: list[int]):
    shape = (len(lengths), max(lengths))
    zeros = torch.zeros(shape, dtype=torch.int64)
    return pack(
        HistoryBatch(
            item=zeros,
            action=zeros,
            surface=zeros,
            time_s=zeros,
            duration=zeros.float(),
            time_known=zeros.bool(),
            positive=zeros.bool(),
            length=torch.tensor(lengths),
        )
    )[0]


def _attention_one_by_one(layer: CausalAttention, x: torch.Tensor, lengths) -> torch.Tensor:
    """Softmax attention token by token, head by head, in float64."""
    width, part = x.shape[1], x.shape[1] // layer.heads
    qkv = F.linear(x.double(), layer.qkv.weight.double(), layer.qkv.bias.double())
    out, start = torch.zeros(x.shape, dtype=torch.float64), 0
    for length in lengths:
        for t in range(start, start + length):
            for head in range(layer.heads):
                at = slice(head * part, (head + 1) * part)
                q = qkv[t, :width][at]
                k = qkv[start : t + 1, width : 2 * width][:, at]
                v = qkv[start : t + 1, 2 * width :][:, at]
                out[t, at] = (k @ q / part**0.5).softmax(0) @ v
        start += length
    return F.linear(out, layer.out.weight.double(), layer.out.bias.double()).float()


@given(st.lists(st.integers(1, 12), min_size=1, max_size=8), st.integers(0, 9))
def test_packed_attention_equals_attention_token_by_token(lengths: list[int], seed: int) -> None:
    torch.manual_seed(seed)
    histories = _histories(lengths)
    layer = CausalAttention(8, heads=2)
    x = torch.randn(sum(lengths), 8)
    expected = _attention_one_by_one(layer, x, histories.lengths)
    torch.testing.assert_close(layer(x, histories), expected, atol=1e-5, rtol=1e-5)


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=8),
    st.integers(0, 9),
    st.floats(0.05, 1),
    st.booleans(),
)
def test_reading_some_tokens_equals_reading_all(lengths, seed, share, with_dropout) -> None:
    torch.manual_seed(seed)
    histories = _histories(lengths)
    tokens = sum(lengths)
    chosen = np.flatnonzero(np.random.default_rng(seed).random(tokens) < share)
    token = torch.from_numpy(chosen if len(chosen) else np.array([tokens - 1]))
    block = Block(8, heads=2, dropout=0.3, site=1).train(with_dropout)
    x, key = torch.randn(tokens, 8), torch.arange(tokens, dtype=torch.int32)
    expected = block(x, histories, key)[token]
    found = block.at(x, queries_at(histories, token), key)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=8), st.integers(0, 9), st.floats(0.05, 1))
def test_a_mean_until_a_token_is_the_mean_of_its_row_so_far(lengths, seed, share) -> None:
    torch.manual_seed(seed)
    tokens = sum(lengths)
    chosen = np.flatnonzero(np.random.default_rng(seed).random(tokens) < share)
    token = torch.from_numpy(chosen if len(chosen) else np.array([0]))
    x = torch.randn(tokens, 3)
    histories = _histories(lengths)
    found = means_until(x, queries_at(histories, token))
    for t, mean in zip(token.tolist(), found, strict=True):
        first = t - int(histories.place[t])
        torch.testing.assert_close(mean, x[first : t + 1].mean(0), atol=1e-6, rtol=1e-5)


def test_gradients_of_the_read_tokens_are_those_of_the_whole_block() -> None:
    torch.manual_seed(0)
    histories, token = _histories([3, 5, 9]), torch.tensor([2, 5, 7, 16])
    block = Block(8, heads=2, dropout=0.0, site=1)
    x = torch.randn(17, 8, requires_grad=True)
    weight = torch.randn(4, 8)
    whole = torch.autograd.grad((block(x, histories, None)[token] * weight).sum(), x)[0]
    read = block.at(x, queries_at(histories, token), None)
    torch.testing.assert_close(torch.autograd.grad((read * weight).sum(), x)[0], whole)


def _as_torchs_layer(block: Block) -> torch.nn.TransformerEncoderLayer:
    """PyTorch's own pre-norm layer with a GELU, holding the block's weights."""
    width, heads = block.attention.out.in_features, block.attention.heads
    layer = torch.nn.TransformerEncoderLayer(
        *(width, heads, 4 * width),
        **{"dropout": 0.0, "activation": "gelu", "norm_first": True, "batch_first": True},
    )
    layer.self_attn.in_proj_weight, layer.self_attn.in_proj_bias = block.attention.qkv.parameters()
    layer.self_attn.out_proj = block.attention.out
    layer.norm1, layer.norm2 = block.attention_norm, block.ffn_norm
    layer.linear1, _, layer.linear2 = block.ffn
    return layer


@given(st.lists(st.integers(1, 12), min_size=1, max_size=8), st.integers(0, 9))
def test_a_block_equals_pytorchs_causal_pre_norm_layer_row_by_row(lengths, seed) -> None:
    torch.manual_seed(seed)
    histories = _histories(lengths)
    block, x = Block(8, heads=2, dropout=0.0, site=1), torch.randn(sum(lengths), 8)
    for norm in (block.attention_norm, block.ffn_norm):
        torch.nn.init.normal_(norm.weight)
    layer = _as_torchs_layer(block)
    rows = [
        layer(row[None], torch.nn.Transformer.generate_square_subsequent_mask(len(row)))[0]
        for row in x.split(histories.lengths.tolist())
    ]
    torch.testing.assert_close(block(x, histories, None), torch.cat(rows), atol=1e-5, rtol=1e-4)


def test_attention_and_ffn_of_a_block_drop_different_features() -> None:
    block = Block(8, heads=2, dropout=0.5, site=1).train()
    x, key = torch.ones(20, 8), torch.arange(20, dtype=torch.int32)
    assert not torch.equal(block.attention_dropout(x, key), block.ffn_dropout(x, key))


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match=r"heads \(3\) must divide width \(8\)"):
        CausalAttention(8, heads=3)
