"""A user encoder's fit under Ray Train, or in this process where no workers are asked for."""

import shutil
from pathlib import Path

import numpy as np

from homefeed.artifacts import writing
from homefeed.training.ray import RayRun, fit_in_this_process, fit_with_ray, read_metrics
from homefeed.training.user_encoder_config import UserEncoderConfig
from homefeed.training.user_encoder_loop import user_encoder_loop


def train_user_encoder_with_ray(
    config: UserEncoderConfig,
    store_path: Path,
    item_vectors: np.ndarray,
    out: Path,
    *,
    train_users: np.ndarray,
    before_s: int,
    run: RayRun,
    item_encoder_hash: str = "",
    code_version: str = "",
) -> list[dict[str, float]]:
    """Fit PinnerFormer on Ray workers (or in this process where num_workers is 0).

    item_vectors float32 [I+1, F], row 0 zeros; F may be 0. train_users int [U]: user indices;
    whoever is held out is not among them. before_s: last second that may be seen, targets
    included. Workers open the store at ``store_path`` themselves and share its pages. Returns the
    reported metrics; the encoder is at ``out``. Raises DatasetError where there is nothing to
    predict.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    inputs = run.folder / "inputs.npz"
    with writing(inputs) as beside, beside.open("wb") as stream:
        np.savez(stream, items=item_vectors, users=train_users)
    settings = {
        "config": config,
        "store": str(Path(store_path).resolve()),
        "inputs": str(inputs),
        "before_s": before_s,
        "precision": run.resources.precision,
        "hashes": {"item_encoder_hash": item_encoder_hash, "code_version": code_version},
    }
    settings["show"] = run.resources.num_workers == 0  # the driver shows it otherwise
    if run.resources.num_workers == 0:
        return fit_in_this_process(user_encoder_loop, settings, run, "encoder", Path(out))
    last = fit_with_ray(user_encoder_loop, settings, run, label="user encoder", steps=config.steps)
    with writing(Path(out)) as beside:
        shutil.copytree(last / "encoder", beside)
    return read_metrics(run)
