from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from homefeed.models.config import PinnerFormerConfig
from homefeed.models.history import HistoryBatch, pack
from homefeed.models.pinnerformer import PinnerFormer

ITEMS, ACTIONS, SURFACES = 20, 4, 3
CONFIG = PinnerFormerConfig(
    dim=8, width=16, layers=2, heads=2, history_length=12, id_embedding_dim=6, item_hidden=16
)


def _network(seed: int = 0, **changes) -> PinnerFormer:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        frozen = torch.randn(ITEMS + 1, 5)
        frozen[0] = 0
        known = torch.arange(ITEMS + 1) > 0
        config = replace(CONFIG, **changes)
        net = PinnerFormer(config, frozen, known, num_actions=ACTIONS, num_surfaces=SURFACES)
        for parameter in net.parameters():  # phases and positions start near zero: move them
            torch.nn.init.normal_(parameter, std=0.3)
        return net.eval()


NETWORK = _network()
NETWORKS = [NETWORK, _network(history_mean=True)]
both = pytest.mark.parametrize("net", NETWORKS, ids=["published", "history_mean"])


def _batch(lengths: list[int], seed: int) -> HistoryBatch:
    generator = torch.Generator().manual_seed(seed)
    shape = (len(lengths), max(max(lengths), 1))
    inside = torch.arange(shape[1]) < torch.tensor(lengths)[:, None]

    def integers(high: int) -> torch.Tensor:
        return torch.randint(1, high, shape, generator=generator) * inside

    steps = torch.randint(0, 90_000, shape, generator=generator)
    return HistoryBatch(
        item=integers(ITEMS + 1),
        action=integers(ACTIONS),
        surface=integers(SURFACES),
        time_s=(1_650_000_000 + steps.cumsum(1)) * inside,
        duration=torch.rand(shape, generator=generator) * 60 * inside,
        time_known=(torch.rand(shape, generator=generator) > 0.2) & inside,
        positive=inside,
        length=torch.tensor(lengths),
    )


def _everywhere(net: PinnerFormer, batch: HistoryBatch) -> dict[tuple[int, int], torch.Tensor]:
    """The output at every place of every row, one entry each."""
    histories, source = pack(batch)
    with torch.no_grad():
        out = net(histories, torch.arange(len(histories.item)))
    rows = source.repeat_interleave(torch.from_numpy(histories.lengths))
    places = zip(rows.tolist(), histories.place.tolist(), strict=True)
    return dict(zip(places, out, strict=True))


lengths_of_rows = st.lists(st.integers(1, 12), min_size=1, max_size=5)


@both
@settings(max_examples=40)
@given(lengths_of_rows, st.integers(0, 99), st.data())
def test_what_a_newer_action_is_never_moves_an_older_output(net, lengths, seed, data) -> None:
    batch = _batch(lengths, seed)
    before = _everywhere(net, batch)
    row = data.draw(st.integers(0, len(lengths) - 1))
    place = data.draw(st.integers(0, lengths[row] - 1))
    changed = {
        "item": data.draw(st.integers(1, ITEMS)),
        "action": data.draw(st.integers(1, ACTIONS - 1)),
        "surface": data.draw(st.integers(1, SURFACES - 1)),
        "duration": data.draw(st.floats(0, 1000)),
    }
    for name, value in changed.items():
        getattr(batch, name)[row, place] = value
    after = _everywhere(net, batch)
    for key, vector in after.items():
        if key[0] != row or key[1] < place:
            torch.testing.assert_close(vector, before[key], atol=1e-6, rtol=1e-5)


def test_the_time_of_a_newer_action_that_is_not_the_newest_never_moves_an_older_output() -> None:
    batch = _batch([6], 3)
    batch.time_known[:] = True
    before = _everywhere(NETWORK, batch)
    batch.time_s[0, 4] -= 1
    after = _everywhere(NETWORK, batch)
    for place in range(4):
        torch.testing.assert_close(after[0, place], before[0, place], atol=1e-6, rtol=1e-5)
    assert not torch.allclose(after[0, 4], before[0, 4], atol=1e-6)


def test_an_older_action_moves_the_newer_outputs() -> None:
    batch = _batch([6], 3)
    before = _everywhere(NETWORK, batch)
    batch.item[0, 1] = batch.item[0, 1] % ITEMS + 1
    after = _everywhere(NETWORK, batch)
    assert all(not torch.allclose(after[0, p], before[0, p], atol=1e-5) for p in range(1, 6))


@both
@settings(max_examples=40)
@given(lengths_of_rows, st.integers(0, 99), st.integers(0, 5))
def test_what_stands_in_the_padding_never_changes_an_output(net, lengths, seed, wider) -> None:
    batch = _batch(lengths, seed)
    before = _everywhere(net, batch)
    shape = (len(lengths), max(lengths) + wider)
    inside = torch.arange(shape[1]) < batch.length[:, None]

    def filled(name: str) -> torch.Tensor:
        column = getattr(batch, name)
        rubbish = torch.ones(shape, dtype=column.dtype)
        rubbish[:, : column.shape[1]] = column.where(inside[:, : column.shape[1]], rubbish[:, :1])
        return rubbish

    columns = ("item", "action", "surface", "time_s", "duration", "time_known", "positive")
    padded = HistoryBatch(**{c: filled(c) for c in columns}, length=batch.length)
    after = _everywhere(net, padded)
    assert after.keys() == before.keys()
    for key, vector in after.items():
        torch.testing.assert_close(vector, before[key], atol=1e-6, rtol=1e-5)


@both
@settings(max_examples=40)
@given(lengths_of_rows, st.integers(0, 99), st.randoms(use_true_random=False))
def test_permuting_the_batch_permutes_the_outputs(net, lengths, seed, random) -> None:
    batch = _batch(lengths, seed)
    order = list(range(len(lengths)))
    random.shuffle(order)
    columns = ("item", "action", "surface", "time_s", "duration", "time_known", "positive")
    columns = (*columns, "length")
    shuffled = HistoryBatch(**{c: getattr(batch, c)[order] for c in columns})
    before, after = _everywhere(net, batch), _everywhere(net, shuffled)
    for (row, place), vector in after.items():
        expected = before[order[row], place]
        torch.testing.assert_close(vector, expected, atol=1e-6, rtol=1e-5)


def test_history_mean_adds_the_mean_of_the_item_vectors_up_to_each_action() -> None:
    batch = _batch([4, 1, 9], 2)
    plain, net = (_network(history_mean=mean) for mean in (False, True))  # of the same weights
    raw: list[torch.Tensor] = []
    plain.out.register_forward_hook(lambda module, inputs, output: raw.append(output))
    keys = list(_everywhere(plain, batch))
    for (row, place), out in zip(keys, raw[0], strict=True):
        with torch.no_grad():
            vectors = plain.embed_items(batch.item[row, : place + 1])
        expected = torch.nn.functional.normalize(out + vectors.mean(0), dim=0)
        found = _everywhere(net, batch)[row, place]
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_an_unknown_time_is_not_read() -> None:
    batch = _batch([5], 1)
    batch.time_known[0] = torch.tensor([False, False, True, True, True])
    before = _everywhere(NETWORK, batch)
    batch.time_s[0, :2] = 17
    after = _everywhere(NETWORK, batch)
    assert all(torch.equal(after[key], before[key]) for key in before)


def test_users_and_items_are_unit_vectors() -> None:
    users = torch.stack(list(_everywhere(NETWORK, _batch([3, 12], 0)).values()))
    torch.testing.assert_close(users.norm(dim=-1), torch.ones(15))
    items = NETWORK.embed_items(torch.arange(1, ITEMS + 1))
    torch.testing.assert_close(items.norm(dim=-1), torch.ones(ITEMS))


def test_items_that_training_never_saw_share_one_id_but_keep_their_vectors() -> None:
    torch.manual_seed(0)
    frozen = torch.randn(6, 3)
    frozen[0], frozen[4] = 0, frozen[3]
    known = torch.tensor([False, True, True, False, False, True])
    net = PinnerFormer(CONFIG, frozen, known, num_actions=2, num_surfaces=2)
    inputs = net.items.inputs(torch.arange(6))
    assert torch.equal(inputs[3], inputs[4])
    unit = frozen[1:].square().mean().sqrt()  # vectors are read with entries of size one
    torch.testing.assert_close(inputs[3, :3], frozen[3] / unit)
    assert not torch.equal(inputs[1, 3:], inputs[3, 3:])
    beyond = net.items.inputs(torch.tensor([6, 999]))  # added to the vocabulary after the fit
    assert torch.equal(beyond, inputs[:1].expand(2, -1))


def test_id_dropout_hides_ids_in_training_only() -> None:
    net = _network(id_dropout=0.5)
    items = torch.arange(1, ITEMS + 1)
    plain = net.items.inputs(items, step_key=5)
    net.train()
    dropped = net.items.inputs(items, step_key=5)
    hidden = (dropped != plain).any(dim=1)
    assert 0 < hidden.sum() < ITEMS
    unknown = net.items.inputs(torch.tensor([0]))[:, 5:]
    assert torch.equal(dropped[hidden][:, 5:], unknown.expand(hidden.sum(), -1))
    assert torch.equal(dropped[:, :5], plain[:, :5])


def test_impossible_configurations_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match=r"heads \(3\) must divide width \(16\)"):
        replace(CONFIG, heads=3)
    with pytest.raises(ValueError, match="id_embedding_dim"):
        PinnerFormer(
            replace(CONFIG, id_embedding_dim=0),
            torch.zeros(3, 0),
            torch.ones(3, dtype=torch.bool),
            num_actions=2,
            num_surfaces=2,
        )


def test_a_type_or_surface_that_came_up_after_the_fit_is_read_as_none() -> None:
    batch = _batch([5, 3], seed=3)
    new = replace(
        batch,
        action=torch.where(batch.action == 1, ACTIONS, batch.action),
        surface=torch.where(batch.surface == 1, SURFACES + 7, batch.surface),
    )
    none = replace(
        batch,
        action=torch.where(batch.action == 1, 0, batch.action),
        surface=torch.where(batch.surface == 1, 0, batch.surface),
    )
    assert (batch.surface == 1).any()
    found, expected = _everywhere(NETWORK, new), _everywhere(NETWORK, none)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[place], expected[place]) for place in expected)


def test_the_learned_position_counts_from_the_newest_action() -> None:
    net, batch = _network(), _batch([5], 3)
    before = _everywhere(net, batch)
    with torch.no_grad():
        net.positions.weight[0] += 1  # the newest action's
    after = _everywhere(net, batch)
    assert [torch.equal(after[0, p], before[0, p]) for p in range(5)] == [True] * 4 + [False]


def test_a_token_reads_the_logarithm_of_its_duration() -> None:
    net, batch, seen = _network(), _batch([1], 0), []
    net.project.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    batch.duration[0, 0] = torch.e**3 - 1
    _everywhere(net, batch)
    column = net.items.in_features + 2 * CONFIG.type_embedding_dim
    assert seen[0][0, column] == pytest.approx(3, rel=1e-5)


def test_the_last_blocks_output_is_normalised_before_the_mlp() -> None:
    net, seen = _network(), []
    with torch.no_grad():
        net.out_norm.weight.fill_(1)
        net.out_norm.bias.zero_()
    net.out.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    _everywhere(net, _batch([4, 2], 0))
    torch.testing.assert_close(seen[0].mean(-1), torch.zeros(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(seen[0].var(-1, correction=0), torch.ones(6), atol=1e-2, rtol=0)
