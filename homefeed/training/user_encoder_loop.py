"""One worker's whole fit of a user encoder, as Ray Train (or a plain process) calls it."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from homefeed.training.checkpoints import Report
from homefeed.training.fit_user_encoder import UserEncoderFit, run_fit
from homefeed.training.user_encoder_config import UserEncoderConfig
from homefeed.training.workers import Worker


def user_encoder_loop(
    settings: dict[str, Any], worker: Worker, resume: Path | None, report: Report
) -> None:
    """One worker's whole fit; the last checkpoint carries the finished encoder."""
    from homefeed.data.sequences import SequenceStore

    with np.load(settings["inputs"]) as inputs:
        items, users = inputs["items"], inputs["users"]
    config: UserEncoderConfig = settings["config"]
    fit = UserEncoderFit(
        config,
        SequenceStore.open(Path(settings["store"])),
        items,
        users,
        before_s=settings["before_s"],
        worker=worker,
        precision=settings["precision"],
    )
    if resume is not None:
        fit.resume(resume)

    def reporting(metrics: dict[str, float], folder: Path | None) -> None:
        if folder is not None and fit.step == config.steps and worker.rank == 0:
            fit.encoder(**settings["hashes"]).save(folder / "encoder")
            fit.model.train()
        report(metrics, folder)

    with tempfile.TemporaryDirectory() as scratch:
        run_fit(fit, checkpoints=Path(scratch), report=reporting, show=settings["show"])
