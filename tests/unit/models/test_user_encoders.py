import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from homefeed.data.contract import DatasetSpec, write_dataset
from homefeed.data.sequences import build_sequences
from homefeed.errors import ArtifactError
from homefeed.models.config import PinnerFormerConfig
from homefeed.models.history import HistoryBatch, read_histories
from homefeed.models.pinnerformer import PinnerFormer
from homefeed.models.user_encoders import (
    EncoderOrigin,
    MeanRecentEncoder,
    PinnerFormerEncoder,
    UserEncoder,
    load_user_encoder,
    newest,
)

ORIGIN = EncoderOrigin(
    items_hash="items",
    item_encoder_hash="vectors",
    trained_before_s=1_650_000_000,
    action_types=("", "click", "watch"),
    surfaces=("", "feed"),
)
VECTORS = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
VECTORS[0] = 0


def _pinnerformer() -> PinnerFormerEncoder:
    torch.manual_seed(0)
    config = PinnerFormerConfig(
        dim=8, width=16, layers=2, heads=2, history_length=5, id_embedding_dim=6, item_hidden=16
    )
    known = torch.arange(9) % 3 > 0
    frozen = torch.from_numpy(VECTORS)
    network = PinnerFormer(config, frozen, known, num_actions=3, num_surfaces=2)
    return PinnerFormerEncoder(network=network, origin=ORIGIN)


def _mean_recent() -> MeanRecentEncoder:
    return MeanRecentEncoder(items=VECTORS, origin=ORIGIN, recent=2, history_length=5)


ENCODERS = pytest.mark.parametrize("make", [_pinnerformer, _mean_recent])


def _batch(lengths: tuple[int, ...] = (3, 0, 7), seed: int = 0) -> HistoryBatch:
    rng = np.random.default_rng(seed)
    shape = (len(lengths), max(lengths))
    inside = torch.arange(shape[1]) < torch.tensor(lengths)[:, None]

    def integers(high: int) -> torch.Tensor:
        return torch.from_numpy(rng.integers(1, high, shape)) * inside

    return HistoryBatch(
        item=integers(9),
        action=integers(3),
        surface=integers(2),
        time_s=(1_600_000_000 + torch.arange(shape[1]) * 1000) * inside,
        duration=torch.ones(shape) * inside,
        time_known=inside,
        positive=torch.from_numpy(rng.random(shape) < 0.6) & inside,
        length=torch.tensor(lengths),
    )


@ENCODERS
def test_a_loaded_encoder_is_the_saved_one_bit_for_bit(make, tmp_path: Path) -> None:
    encoder: UserEncoder = make()
    encoder.save(tmp_path / "encoder")
    loaded = load_user_encoder(tmp_path / "encoder")
    assert (loaded.kind, loaded.dim, loaded.hash) == (encoder.kind, encoder.dim, encoder.hash)
    assert loaded.origin == ORIGIN
    assert loaded.history_length == 5
    assert torch.equal(loaded.embed(_batch()), encoder.embed(_batch()))
    assert np.array_equal(loaded.item_vectors(), encoder.item_vectors())


@ENCODERS
def test_vectors_have_length_one_and_nothing_gives_zeros(make) -> None:
    encoder: UserEncoder = make()
    batch = _batch((3, 0, 7), seed=1)
    batch.positive[[0, 2], [2, 6]] = True  # at least one positive for the mean
    users = encoder.embed(batch)
    assert users.shape == (3, encoder.dim)
    assert users.dtype == torch.float32
    assert (users[1] == 0).all()
    torch.testing.assert_close(users[[0, 2]].norm(dim=-1), torch.ones(2))
    items = encoder.item_vectors()
    assert items.dtype == np.float32
    assert (items[0] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(items[1:], axis=1), 1, rtol=1e-5)


@ENCODERS
def test_only_the_newest_actions_of_a_long_history_are_read(make) -> None:
    encoder: UserEncoder = make()
    long = _batch((7,), seed=2)
    short = newest(long, 5)
    assert short.item[0].tolist() == long.item[0, 2:].tolist()
    assert torch.equal(encoder.embed(long), encoder.embed(short))


def test_cutting_keeps_short_histories_as_they_are() -> None:
    batch = newest(_batch((3, 0, 7)), 5)
    whole = _batch((3, 0, 7))
    assert batch.length.tolist() == [3, 0, 5]
    assert batch.item[0].tolist() == [*whole.item[0, :3].tolist(), 0, 0]
    assert batch.time_known.tolist() == [[True] * 3 + [False] * 2, [False] * 5, [True] * 5]


def test_mean_recent_is_the_mean_of_the_last_positives_as_a_loop_finds_it() -> None:
    encoder = MeanRecentEncoder(items=VECTORS, origin=ORIGIN, recent=3, history_length=50)
    batch = _batch((4, 0, 12, 9, 1), seed=4)
    found = encoder.embed(batch).numpy()
    for row in range(5):
        positives = [
            int(item)
            for item, positive in zip(batch.item[row], batch.positive[row], strict=True)
            if positive
        ]
        mean = sum((VECTORS[i] for i in positives[-3:]), np.zeros(4))
        expected = mean / max(np.linalg.norm(mean), 1e-12)
        np.testing.assert_allclose(found[row], expected, atol=1e-6)


def test_the_mean_counts_positives_by_the_contract_with_its_durations_and_surfaces(tmp_path):
    rows = [("a", 20.0, "home"), ("b", 3.0, "home"), ("c", 20.0, "elsewhere"), ("a", 9.0, "home")]
    item, duration, surface = zip(*rows, strict=True)
    frame = pl.DataFrame(
        {
            **{"user_id": 1, "item_id": item, "action_type": "click"},
            **{"timestamp": [0, 1000, 2000, 3000], "duration_s": duration, "surface": surface},
        }
    )
    spec = DatasetSpec(
        name="log",
        files={},
        positive=("click",),
        min_duration_s={"click": 10.0},
        surfaces=("home",),
    )
    dataset = write_dataset(tmp_path / "log", spec, {"actions": frame})
    store = build_sequences(dataset, tmp_path / "store")
    histories = read_histories(store, store.last_available([1], [100], 5))
    assert histories.positive.tolist() == [[True, False, False, False]]
    encoder = MeanRecentEncoder(items=VECTORS, origin=ORIGIN, recent=3, history_length=50)
    expected = VECTORS[store.items.index("a")]
    found = encoder.embed(histories)[0].numpy()
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-6)


def test_a_mean_that_was_saved_with_positive_types_goes_on_counting_those(tmp_path):
    origin = replace(ORIGIN, positive_types=(1,))
    old = MeanRecentEncoder(items=VECTORS, origin=origin, recent=3, history_length=50)
    old.save(tmp_path / "encoder")
    batch = _batch((4, 0, 12), seed=4)
    by_type = replace(batch, positive=batch.action == 1)
    new = MeanRecentEncoder(items=VECTORS, origin=ORIGIN, recent=3, history_length=50)
    found = load_user_encoder(tmp_path / "encoder").embed(batch)
    assert torch.equal(found, new.embed(by_type))
    assert not torch.equal(found, new.embed(batch))
    assert old.hash != new.hash


@ENCODERS
def test_an_altered_folder_is_refused(make, tmp_path: Path) -> None:
    folder = tmp_path / "encoder"
    make().save(folder)
    described = json.loads((folder / "encoder.json").read_text())
    described["origin"]["trained_before_s"] += 1
    (folder / "encoder.json").write_text(json.dumps(described))
    with pytest.raises(ArtifactError, match="its description says"):
        load_user_encoder(folder)


def test_altered_weights_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "encoder"
    _pinnerformer().save(folder)
    state = torch.load(folder / "weights.pt", weights_only=True)
    state["blocks.0.ffn.0.bias"][3] += 1e-3
    torch.save(state, folder / "weights.pt")
    with pytest.raises(ArtifactError, match="its description says"):
        load_user_encoder(folder)


@pytest.mark.parametrize("file", ["weights.pt", "item_inputs.npy"])
def test_a_truncated_file_is_refused(tmp_path: Path, file: str) -> None:
    folder = tmp_path / "encoder"
    _pinnerformer().save(folder)
    whole = (folder / file).read_bytes()
    (folder / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArtifactError, match="cannot be read"):
        load_user_encoder(folder)


@pytest.mark.parametrize("key", ["origin", "config", "kind"])
def test_a_description_that_lacks_a_part_is_refused(tmp_path: Path, key: str) -> None:
    folder = tmp_path / "encoder"
    _mean_recent().save(folder)
    described = json.loads((folder / "encoder.json").read_text())
    del described[key]
    (folder / "encoder.json").write_text(json.dumps(described))
    with pytest.raises(ArtifactError, match=f"cannot be read .*{key}"):
        load_user_encoder(folder)


def test_weights_of_another_network_are_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "encoder"
    _pinnerformer().save(folder)
    state = torch.load(folder / "weights.pt", weights_only=True)
    del state["blocks.0.ffn.0.bias"]  # PyTorch tells of it on several lines
    torch.save(state, folder / "weights.pt")
    with pytest.raises(ArtifactError) as caught:
        load_user_encoder(folder)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("train again")


def test_another_version_and_a_missing_folder_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "encoder"
    with pytest.raises(ArtifactError, match="does not exist"):
        load_user_encoder(folder)
    _mean_recent().save(folder)
    described = json.loads((folder / "encoder.json").read_text())
    (folder / "encoder.json").write_text(json.dumps(described | {"version": 99}))
    with pytest.raises(ArtifactError, match="version 99"):
        load_user_encoder(folder)


def test_the_hash_changes_with_weights_and_with_origin() -> None:
    first = _pinnerformer()
    again = _pinnerformer()
    assert first.hash == again.hash
    with torch.no_grad():
        again.network.project.bias[0] += 1
    changed = PinnerFormerEncoder(network=again.network, origin=ORIGIN)
    assert changed.hash != first.hash
