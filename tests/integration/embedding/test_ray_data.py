"""Batch inference by Ray Data on a cluster of this machine."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from homefeed.data.contract import write_dataset
from homefeed.data.sequences.build import build_sequences
from homefeed.data.sequences.store import SequenceStore
from homefeed.data.specification import DatasetSpec
from homefeed.embedding import EmbeddingConfig, embed_day, embed_users
from homefeed.models.config import PinnerFormerConfig
from homefeed.models.pinnerformer import PinnerFormer
from homefeed.models.user_encoders import EncoderOrigin, PinnerFormerEncoder
from homefeed.training.ray import ray_session

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture(scope="module")
def ray() -> Iterator[None]:
    """A Ray of two CPUs."""
    with ray_session(num_cpus=2, object_store_mb=200):
        yield


@pytest.fixture
def store(tmp_path: Path) -> SequenceStore:
    generator = np.random.default_rng(0)
    log = pl.DataFrame(
        {
            "user_id": generator.integers(1, 50, 500),
            "item_id": generator.integers(1, 31, 500),
            "action_type": ["like"] * 500,
            "timestamp": np.arange(500) * 1_000_000,
        }
    )
    spec = DatasetSpec(name="log", files={"actions": "a"}, positive=("like",))
    return build_sequences(write_dataset(tmp_path / "log", spec, {"actions": log}), tmp_path / "s")


@pytest.fixture
def encoder(store: SequenceStore, tmp_path: Path) -> Path:
    config = PinnerFormerConfig(
        width=16, layers=1, heads=2, dim=8, history_length=12, id_embedding_dim=4
    )
    frozen = torch.zeros(store.meta.item_count + 1, 0)
    known = torch.ones(len(frozen), dtype=torch.bool)
    network = PinnerFormer(config, frozen, known, num_actions=2, num_surfaces=2)
    origin = EncoderOrigin(
        items_hash=store.meta.items_hash,
        item_encoder_hash="",
        trained_before_s=0,
        action_types=store.meta.action_types,
        surfaces=("", "x"),
    )
    PinnerFormerEncoder(network=network, origin=origin).save(tmp_path / "encoder")
    return tmp_path / "encoder"


def test_ray_data_embeds_what_the_plain_loop_embeds_bit_for_bit(ray, store, encoder):
    users = np.arange(1, store.meta.user_count + 1)
    loop = embed_users(encoder, store, users, 300_000, EmbeddingConfig(batch_size=6))
    for num_workers in (1, 2):  # two actors and the reading tasks share two CPUs
        config = EmbeddingConfig(batch_size=6, num_workers=num_workers)
        found = embed_users(encoder, store, users, 300_000, config)
        assert np.array_equal(found.user, loop.user)
        assert np.array_equal(found.vector, loop.vector)


def test_a_day_with_many_active_users_goes_to_the_actors_and_is_the_same_table(ray, store, encoder):
    yesterday, _ = embed_day(encoder, store, None, 300_000)
    here, count = embed_day(encoder, store, yesterday, 400_000, EmbeddingConfig(batch_size=6))
    assert count > 12  # batches for both actors
    config = EmbeddingConfig(batch_size=6, num_workers=2, actors_from=count)
    assert config.for_day(count).num_workers == 2
    there, _ = embed_day(encoder, store, yesterday, 400_000, config)
    assert np.array_equal(there.user, here.user)
    assert np.array_equal(there.vector, here.vector)


@pytest.mark.gpu
def test_actors_that_share_a_gpu_embed_what_the_cpu_embeds(ray, store, encoder):
    users = np.arange(1, store.meta.user_count + 1)
    expected = embed_users(encoder, store, users, 300_000, EmbeddingConfig(batch_size=6))
    here = embed_users(encoder, store, users, 300_000, EmbeddingConfig(batch_size=6, device="cuda"))
    shared = EmbeddingConfig(batch_size=6, num_workers=2, gpus_per_worker=0.5, device="cuda")
    found = embed_users(encoder, store, users, 300_000, shared)
    assert np.array_equal(found.vector, here.vector)
    np.testing.assert_allclose(found.vector, expected.vector, atol=1e-5)
