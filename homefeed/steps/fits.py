"""What both training steps share: where a fit runs, what MLflow keeps of it, what is left of it."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from homefeed.artifacts import hash_json
from homefeed.config import LOCAL, Config
from homefeed.training.ray import RayRun
from homefeed.training.resources import TrainingResources
from homefeed.training.tracking import TrackedRun, Tracking


def fit_run(config: Config, kind: str, identity: Any) -> RayRun:
    """The Ray run of a fit, named by all that decides its result: a step that died goes on."""
    t = config.training
    return RayRun(
        name=f"{kind}-{hash_json(identity)}",
        storage=config.workspace / "ray",
        resources=TrainingResources(
            num_workers=t.num_workers, device=t.device, backend=t.backend, precision=t.precision
        ),
        num_cpus=t.ray_cpus,
        object_store_mb=t.object_store_mb,
    )


def log_fit(tracked: TrackedRun, metrics: Sequence[dict[str, float]]) -> None:
    """Keep what a fit reported, step by step."""
    for reported in metrics:
        tracked.log_metrics(reported, int(reported["step"]))


def register_folder(
    tracking: Tracking, model: str, folder: Path, content_hash: str, run_id: str
) -> int:
    """Register ``folder`` once per content: the version that carries its hash, or a new one."""
    tags = {"hash": content_hash}
    known = tracking.find(model, tags)
    return known or tracking.register(model, folder, tags, run_id=run_id)


def forget_fit(run: RayRun, config: Config) -> None:
    """Remove the checkpoints of a fit whose result was written and registered.

    A step that died before goes on from them; on a cluster it may still die after this, when the
    artifact is uploaded, so there they stay.
    """
    if config.profile == LOCAL:
        shutil.rmtree(run.folder, ignore_errors=True)
