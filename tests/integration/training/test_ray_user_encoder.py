"""PinnerFormer under Ray Train: the same result as in one process, and through a killed worker."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from homefeed.data.contract import Dataset
from homefeed.data.sequences import SequenceStore, build_sequences
from homefeed.errors import DatasetError, HomefeedError
from homefeed.models.config import PinnerFormerConfig
from homefeed.models.user_encoders import load_user_encoder
from homefeed.training.ray import METRICS_FILE, RayRun, read_metrics
from homefeed.training.ray_user_encoder import train_user_encoder_with_ray
from homefeed.training.resources import TrainingResources
from homefeed.training.user_encoder_config import UserEncoderConfig

pytestmark = [pytest.mark.integration, pytest.mark.slow]

START_S, DAY_S = 1_600_000_000, 86_400
CONFIG = UserEncoderConfig(
    network=PinnerFormerConfig(
        dim=8, width=16, layers=2, heads=2, history_length=10, id_embedding_dim=8, item_hidden=16
    ),
    steps=20,
    batch_users=16,
    positions_per_user=4,
    num_negatives=16,
    sketch_width=1 << 12,
    report_every=5,
    checkpoint_every=5,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SequenceStore:
    folder = tmp_path_factory.mktemp("log")
    rng = np.random.default_rng(0)
    actions = pl.DataFrame(
        {
            "user_id": rng.integers(1, 60, 900),
            "item_id": rng.integers(1, 40, 900),
            "action_type": rng.choice(["click", "watch"], 900),
            "timestamp": START_S + rng.integers(0, 30 * DAY_S, 900),
        }
    )
    actions.write_parquet(folder / "actions.parquet")
    (folder / "dataset.yaml").write_text(
        "name: small\nfiles: {actions: actions.parquet}\ntimestamp_unit: s\n"
        "positive: [click]\nneutral: [watch]\n"
    )
    return build_sequences(Dataset.open(folder), folder / "store")


def _train(
    store: SequenceStore, folder: Path, config=CONFIG, workers: int = 2, name="run", **resources
):
    found = TrainingResources(num_workers=workers, **resources)
    run = RayRun(name=name, storage=folder, resources=found)
    vectors = np.zeros((store.meta.item_count + 1, 0), dtype=np.float32)
    metrics = train_user_encoder_with_ray(
        config,
        store.path,
        vectors,
        folder / f"{name}-encoder",
        train_users=np.arange(1, 50),
        before_s=START_S + 25 * DAY_S,
        run=run,
        item_encoder_hash="none",
    )
    return metrics, load_user_encoder(folder / f"{name}-encoder")


@pytest.fixture(scope="module")
def together(ray, store, tmp_path_factory: pytest.TempPathFactory):
    """What two Ray workers reported and fitted in the run ``together``, and the folder of it."""
    folder = tmp_path_factory.mktemp("fit")
    return *_train(store, folder, workers=2, name="together"), folder


@pytest.mark.timeout(600)
def test_two_ray_workers_and_one_process_give_the_same_encoder(together, store, tmp_path) -> None:
    metrics, theirs, _ = together
    alone, ours = _train(store, tmp_path, workers=0, name="alone")
    assert [m["step"] for m in metrics] == [m["step"] for m in alone] == [5, 10, 15, 20]
    np.testing.assert_allclose([m["loss"] for m in metrics], [m["loss"] for m in alone], rtol=1e-5)
    np.testing.assert_allclose(theirs.item_vectors(), ours.item_vectors(), atol=1e-3)
    assert theirs.origin == ours.origin


@pytest.mark.timeout(600)
def test_a_killed_worker_goes_on_from_the_last_checkpoint(
    ray, store, kill_a_worker, tmp_path
) -> None:
    config = replace(CONFIG, steps=400, checkpoint_every=20, report_every=20)
    metrics = tmp_path / "killed" / METRICS_FILE
    with kill_a_worker(metrics) as killed:
        _, encoder = _train(store, tmp_path, config, name="killed")
    assert killed
    lines = [line for line in metrics.read_text().splitlines() if line]
    reported = read_metrics(RayRun(name="killed", storage=tmp_path, resources=TrainingResources()))
    steps = [m["step"] for m in reported]
    assert steps == list(range(20, 401, 20))
    repeated = len(lines) - len(steps)  # reports between the last stored checkpoint and the kill
    assert 0 <= repeated < killed[0]  # it went on, it did not begin again
    whole, uninterrupted = _train(store, tmp_path, config, workers=0, name="whole")
    assert whole[-1]["loss"] == pytest.approx(reported[-1]["loss"], rel=1e-3)
    np.testing.assert_allclose(encoder.item_vectors(), uninterrupted.item_vectors(), atol=0.05)


@pytest.mark.timeout(600)
def test_what_is_wrong_with_the_data_comes_back_as_it_is_and_is_not_retried(
    ray, store, tmp_path
) -> None:
    config = replace(CONFIG, window_days=1e-9)  # nobody has anything to predict
    with pytest.raises(DatasetError, match="no training user has a positive action"):
        _train(store, tmp_path, config, name="broken")


@pytest.mark.timeout(600)
def test_a_run_name_that_has_finished_gives_its_encoder_again(together, store) -> None:
    _, first, folder = together
    shutil.rmtree(folder / "together-encoder")
    _, second = _train(store, folder, name="together")
    assert second.hash == first.hash


@pytest.mark.gpu
@pytest.mark.timeout(600)
def test_a_profile_with_a_gpu_trains_the_same_encoder(ray, store, tmp_path) -> None:
    alone, ours = _train(store, tmp_path, workers=0, name="alone")
    on_gpu = {"device": "cuda", "backend": "nccl"}
    found, theirs = _train(store, tmp_path, workers=1, name="gpu", **on_gpu)
    np.testing.assert_allclose([m["loss"] for m in found], [m["loss"] for m in alone], rtol=2e-3)
    np.testing.assert_allclose(theirs.item_vectors(), ours.item_vectors(), atol=2e-2)
    rough, _ = _train(store, tmp_path, workers=1, name="bf16", precision="bf16", **on_gpu)
    assert rough[-1]["loss"] == pytest.approx(alone[-1]["loss"], rel=0.03)


@pytest.mark.timeout(120)
def test_more_workers_than_gpus_are_refused_at_once(ray, store, tmp_path) -> None:
    gpus = torch.cuda.device_count()
    workers = gpus + 1
    with pytest.raises(
        HomefeedError, match=rf"{workers} workers .* has {gpus} GPUs .*--set training"
    ):
        _train(store, tmp_path, workers=workers, device="cuda")
