"""TransAct: the plain form against torch's own layers, the faster forms against the plain one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from homefeed.models.config import TransActConfig
from homefeed.models.transact import TransAct
from homefeed.models.transact_fast import SAFE_SPREAD, FastTransAct
from homefeed.models.transact_shared import encode_shared

SMALL = TransActConfig(item_dim=4, action_dim=4, ffn_dim=8, first_k=3, output_dim=5)


def network(config: TransActConfig = SMALL, gain: float = 1.5) -> TransAct:
    torch.manual_seed(0)
    transact = TransAct(config).eval()
    with torch.no_grad():
        for layer in transact.layers:
            for parameter in layer.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
                if parameter.ndim == 2:
                    parameter.mul_(gain)
    return transact


def request(length: int, config: TransActConfig = SMALL, seed: int = 1, candidates: int = 6):
    generator = torch.Generator().manual_seed(seed)
    history = torch.randn(1, length, config.item_dim + config.action_dim, generator=generator)
    candidate = torch.randn(candidates, config.item_dim, generator=generator)
    return history, torch.ones(1, length, dtype=torch.bool), candidate


def plain(transact: TransAct, history, present, candidate):
    return transact(history, present, candidate, torch.zeros(len(candidate), dtype=torch.int64))


def torch_encoder(transact: TransAct) -> torch.nn.TransformerEncoder:
    dim, config = transact.config.dim, transact.config
    layer = torch.nn.TransformerEncoderLayer(dim, 1, config.ffn_dim, 0.1, batch_first=True)
    encoder = torch.nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False).eval()
    for theirs, ours in zip(encoder.layers, transact.layers, strict=True):
        theirs.self_attn.in_proj_weight.data = ours.qkv.weight.data
        theirs.self_attn.in_proj_bias.data = ours.qkv.bias.data
        theirs.self_attn.out_proj.load_state_dict(ours.out.state_dict())
        theirs.linear1.load_state_dict(ours.ffn_in.state_dict())
        theirs.linear2.load_state_dict(ours.ffn_out.state_dict())
        theirs.norm1.load_state_dict(ours.norm1.state_dict())
        theirs.norm2.load_state_dict(ours.norm2.state_dict())
    return encoder


def test_the_plain_form_is_torchs_encoder_with_the_read_out_written_by_hand():
    transact = network()
    history, present, candidate = request(7)
    present[0, 5:] = False
    x = torch.cat([history.expand(6, -1, -1), candidate[:, None].expand(-1, 7, -1)], -1)
    encoded = torch_encoder(transact)(x, src_key_padding_mask=~present.expand(6, -1))[:, :5]
    read = torch.cat([encoded[:, :3].reshape(6, -1), encoded.max(dim=1).values], dim=-1)
    expected = transact.summary(read)
    torch.testing.assert_close(plain(transact, history, present, candidate), expected)


def test_the_published_configuration_has_rows_of_96_and_reads_eleven_of_them():
    config = TransActConfig()
    assert config.dim == 96
    assert TransAct(config).summary.in_features == 11 * 96


@pytest.mark.parametrize("length", [0, 1, 2, 3, 9])
def test_the_shared_form_equals_the_plain_form_for_several_requests(length):
    transact = network()
    generator = torch.Generator().manual_seed(length)
    history = torch.randn(3, length, 8, generator=generator)
    present = torch.arange(length) < torch.tensor([[length], [length // 2], [0]])
    candidate = torch.randn(7, 4, generator=generator)
    owner = torch.tensor([0, 0, 1, 1, 1, 2, 2])
    expected = transact(history, present, candidate, owner)
    found = encode_shared(transact, history, present, candidate, owner)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_the_shared_form_has_the_plain_forms_gradients():
    transact = network()
    history, present, candidate = request(5)
    owner = torch.zeros(6, dtype=torch.int64)
    gradients = []
    for form in (transact, lambda *a: encode_shared(transact, *a)):
        transact.zero_grad()
        form(history, present, candidate, owner).square().sum().backward()
        gradients.append([p.grad.clone() for p in transact.parameters()])
    for theirs, ours in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(
    length=st.integers(0, 14),
    layers=st.integers(1, 3),
    chunk=st.integers(1, 8),
    gain=st.sampled_from([0.5, 1.5, 4.0]),
    seed=st.integers(0, 99),
)
def test_the_fast_form_equals_the_plain_form(length, layers, chunk, gain, seed):
    config = TransActConfig(
        item_dim=4, action_dim=4, ffn_dim=8, first_k=3, output_dim=5, layers=layers
    )
    transact = network(config, gain)
    history, present, candidate = request(length, config, seed)
    with torch.no_grad():
        expected = plain(transact, history, present, candidate)
        found = FastTransAct(transact)(history[0], candidate, chunk)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_scores_too_far_apart_for_the_factored_softmax_take_the_direct_one():
    transact = network()
    history, present, candidate = request(6)
    candidate = candidate * 400  # the candidate's part of the scores spreads over thousands
    fast = FastTransAct(transact)
    with torch.no_grad():
        side = fast.request_side(history[0])
        query = candidate @ fast.first.query_c.T + fast.first.query_bias
        own = query @ side.key.T
        assert (own.amax(1) - own.amin(1)).max() > SAFE_SPREAD
        expected = plain(transact, history, present, candidate)
        found = fast(history[0], candidate, 4)
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_bfloat16_stays_near_float32():
    transact = network(TransActConfig())
    history, present, candidate = request(60, TransActConfig())
    with torch.no_grad():
        expected = plain(transact, history, present, candidate)
        found = FastTransAct(transact, torch.bfloat16)(history[0], candidate, 4)
    assert found.dtype == torch.float32
    assert (found - expected).norm() / expected.norm() < 0.03


@settings(max_examples=20, deadline=None)
@given(length=st.integers(0, 6), padding=st.integers(1, 5), seed=st.integers(0, 99))
def test_padding_rows_never_change_the_summary(length, padding, seed):
    transact = network()
    history, present, candidate = request(length, seed=seed)
    noise = torch.randn(1, padding, 8, generator=torch.Generator().manual_seed(seed)) * 50
    longer = torch.cat([history, noise], dim=1)
    present_longer = torch.arange(length + padding)[None] < length
    owner = torch.zeros(6, dtype=torch.int64)
    with torch.no_grad():
        expected = plain(transact, history, present, candidate)
        torch.testing.assert_close(plain(transact, longer, present_longer, candidate), expected)
        shared = encode_shared(transact, longer, present_longer, candidate, owner)
    torch.testing.assert_close(shared, expected, rtol=1e-4, atol=1e-5)


def test_the_order_of_actions_matters_only_through_the_first_k_rows():
    transact = network()
    history, present, candidate = request(8)
    older = history.clone()
    older[:, 3:] = history[:, 3:].flip(1)  # no positions: beyond the first K it is a set
    newer = history.flip(1)
    with torch.no_grad():
        expected = plain(transact, history, present, candidate)
        torch.testing.assert_close(plain(transact, older, present, candidate), expected)
        assert not torch.allclose(plain(transact, newer, present, candidate), expected, atol=1e-3)
