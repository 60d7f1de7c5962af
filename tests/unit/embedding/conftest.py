"""A small random log with durations and late arrivals, and two real encoders for it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from homefeed.data.contract import write_dataset
from homefeed.data.sequences.build import build_sequences
from homefeed.data.sequences.store import SequenceStore
from homefeed.data.specification import DatasetSpec
from homefeed.models.config import PinnerFormerConfig
from homefeed.models.pinnerformer import PinnerFormer
from homefeed.models.user_encoders import (
    EncoderOrigin,
    MeanRecentEncoder,
    PinnerFormerEncoder,
    UserEncoder,
)

torch.set_num_threads(1)
T0_S = 1_600_000_000
SPEC = DatasetSpec(
    name="log", files={"actions": "a"}, positive=("like",), neutral=("view",), span=None
)


def random_actions(count: int = 400, users: int = 40, seed: int = 0) -> pl.DataFrame:
    generator = np.random.default_rng(seed)
    time_ms = np.sort(generator.integers(T0_S * 1000, (T0_S + 10 * 86_400) * 1000, count))
    late = generator.random(count) < 0.2
    return pl.DataFrame(
        {
            "user_id": generator.integers(1, users + 1, count),
            "item_id": generator.integers(1, 31, count),
            "action_type": generator.choice(["like", "view"], count),
            "timestamp": time_ms,
            "duration_s": generator.integers(0, 200, count).astype(np.float32),
            # Some arrive up to three days after they ended.
            "arrived_at": time_ms
            + 200_000
            + np.where(late, generator.integers(0, 3 * 86_400_000, count), 0),
        }
    )


@pytest.fixture
def store(tmp_path: Path) -> SequenceStore:
    dataset = write_dataset(tmp_path / "log", SPEC, {"actions": random_actions()})
    return build_sequences(dataset, tmp_path / "store")


@pytest.fixture
def make_encoder(store: SequenceStore, tmp_path: Path) -> Callable[..., Path]:
    """Saves a real encoder for ``store`` and returns its folder."""

    def make(kind: str = "pinnerformer", **origin) -> Path:
        generator = torch.Generator().manual_seed(0)
        items = torch.randn(store.meta.item_count + 1, 6, generator=generator)
        items[0] = 0
        values = {
            "items_hash": store.meta.items_hash,
            "item_encoder_hash": "",
            "trained_before_s": T0_S,
            "action_types": store.meta.action_types,
            "surfaces": store.meta.surfaces,
        }
        made_from = EncoderOrigin(**{**values, **origin})
        encoder: UserEncoder
        if kind == "mean_recent":
            encoder = MeanRecentEncoder(items=items.numpy(), origin=made_from)
        else:
            torch.manual_seed(0)
            config = PinnerFormerConfig(
                width=16, layers=1, heads=2, dim=8, history_length=12, id_embedding_dim=4
            )
            network = PinnerFormer(
                config,
                items,
                torch.ones(len(items), dtype=torch.bool),
                num_actions=len(store.meta.action_types),
                num_surfaces=len(store.meta.surfaces),
            )
            encoder = PinnerFormerEncoder(network=network, origin=made_from)
        folder = tmp_path / f"encoder-{kind}"
        encoder.save(folder)
        return folder

    return make
