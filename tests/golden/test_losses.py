"""Ten seeded steps of the user encoder's training give the losses that lie beside this file.

One thread, float32, one worker. A change of sampling, loss, network or optimiser shows here; where
it is meant: ``pytest tests/golden --update-golden``.
"""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from homefeed.data.contract import DatasetSpec, write_dataset
from homefeed.data.sequences import SequenceStore, build_sequences
from homefeed.models.config import PinnerFormerConfig
from homefeed.training.fit_user_encoder import UserEncoderFit
from homefeed.training.user_encoder_config import UserEncoderConfig
from homefeed.training.workers import Worker

TOLERANCE = 1e-4  # float32 on another processor rounds sums in another order
STEPS, USERS, ITEMS, DAYS = 10, 40, 60, 40
START_MS, DAY_MS = 1_700_000_000_000, 86_400_000

CONFIG = UserEncoderConfig(
    network=PinnerFormerConfig(
        dim=16, width=16, layers=2, heads=2, history_length=16, id_embedding_dim=8, item_hidden=32
    ),
    steps=STEPS,
    batch_users=16,
    positions_per_user=4,
    num_negatives=32,
    warmup_steps=2,
    sketch_width=1 << 12,
    learning_rate=0.01,
)


def _store(folder: Path) -> SequenceStore:
    """Users who like every third item; every fourth action is a neutral view."""
    user, place = np.divmod(np.arange(USERS * 30), 30)
    item = (user % 3) + 3 * ((user * 7 + place * place) % (ITEMS // 3))
    rows = pl.DataFrame(
        {
            "user_id": user,
            "item_id": item,
            "action_type": np.where(place % 4 == 3, "view", "save"),
            "timestamp": START_MS + (place * DAYS * DAY_MS) // 30 + user * 1000,
        }
    ).sort("timestamp", maintain_order=True)
    spec = DatasetSpec(
        name="golden", files={}, positive=("save",), neutral=("view",), timestamp_unit="ms"
    )
    dataset = write_dataset(folder / "set", spec, {"actions": rows})
    return build_sequences(dataset, folder / "store")


def test_ten_seeded_steps_give_the_golden_losses(tmp_path: Path, golden: Any) -> None:
    store = _store(tmp_path)
    vectors = np.random.default_rng(0).standard_normal((ITEMS + 1, 8)).astype(np.float32)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        fit = UserEncoderFit(
            *(CONFIG, store, vectors, np.arange(1, USERS + 1)),
            before_s=(START_MS + DAYS * DAY_MS) // 1000,
            worker=Worker(),
        )
        losses = [float(fit.train_step()) for _ in range(STEPS)]
    finally:
        torch.set_num_threads(threads)
    text = "".join(f"{loss:.6f}\n" for loss in losses)
    expected = [float(line) for line in golden("losses/user_encoder.txt", text).split()]
    np.testing.assert_allclose(losses, expected, rtol=TOLERANCE, atol=0)
    assert losses[-1] < losses[0], "ten steps at this rate learn something"
