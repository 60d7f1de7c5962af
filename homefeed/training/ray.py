"""Ray Train around a fit: workers, process group, reports, checkpoints. The fit itself is torch.

A loop is a plain function ``loop(settings, worker, resume, report)``; what this file adds is that
it runs once per worker, that what it reports is stored, and that after a worker died the group
starts again from the last checkpoint that was reported.
"""

import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from homefeed import errors
from homefeed.artifacts import read_json, write_json, writing
from homefeed.devices import require_device
from homefeed.errors import HomefeedError
from homefeed.progress import Progress
from homefeed.training.checkpoints import Report
from homefeed.training.ray_head import ray_address
from homefeed.training.ray_trainer import torch_trainer
from homefeed.training.resources import TrainingResources
from homefeed.training.workers import Worker

Loop = Callable[[dict[str, Any], Worker, Path | None, Report], None]

_STARTS = 3
ERROR_FILE = "error.json"
METRICS_FILE = "metrics.jsonl"
_ENVIRONMENT = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # each report waits for a poll of the controller
    "RAY_worker_niceness": "0",  # the workers are the work: by default they stand back at 15
    "RAY_AUTH_MODE": "disabled",  # a local cluster; its token file needs a writable home
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "180",  # a laptop under load starts slowly
}


@dataclass(frozen=True, kw_only=True)
class RayRun:
    """One fit under Ray. The same name and storage go on with the same fit: choose it per run."""

    name: str
    storage: Path  # absolute; checkpoints and metrics are below storage/name
    resources: TrainingResources = field(default_factory=TrainingResources)
    max_failures: int = 2  # restarts after a worker was lost
    num_cpus: int = 2  # of a cluster started here
    object_store_mb: int = 300

    @property
    def folder(self) -> Path:
        """Where this run's files are."""
        return self.storage.resolve() / self.name


@contextmanager
def ray_session(*, num_cpus: int, object_store_mb: int) -> Iterator[None]:
    """Connect to the run's head where there is one, else start a cluster and end it again."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        yield
        return
    common = {"log_to_driver": False, "runtime_env": {"env_vars": _ENVIRONMENT}}
    address = ray_address()
    if address:
        ray.init(address=address, **common)
        try:
            yield
        finally:
            ray.shutdown()
        return
    # AF_UNIX socket paths end at 107 bytes: the session needs a short folder of its own.
    session = tempfile.mkdtemp(prefix="hfray", dir="/tmp" if os.path.isdir("/tmp") else None)
    local = {
        "num_cpus": num_cpus,
        "object_store_memory": object_store_mb << 20,
        "include_dashboard": False,
        "_temp_dir": session,
    }
    try:
        _start(ray, common | local)
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(session, ignore_errors=True)


def _start(ray: Any, options: dict[str, Any]) -> None:
    """Start a local cluster. Ray gives its parts 30 s, which a busy machine may exceed: retry."""
    for attempt in range(_STARTS):
        try:
            ray.init(**options)
            return
        except Exception as error:  # Ray raises a bare Exception here
            ray.shutdown()
            if "timed out during startup" not in str(error) or attempt + 1 == _STARTS:
                raise HomefeedError(
                    f"Ray did not start ({error}); free some memory and cores, or train without "
                    "it with --set training.num_workers=0"
                ) from error


def fit_with_ray(
    loop: Loop, settings: dict[str, Any], run: RayRun, *, label: str, steps: int
) -> Path:
    """Run ``loop`` on every worker; returns the folder of the last checkpoint it reported.

    settings must pickle. Raises HomefeedError where the fit failed, with the worker's error.
    """
    with ray_session(num_cpus=run.num_cpus, object_store_mb=run.object_store_mb):
        from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig

        resources = run.resources
        _require_gpus(resources)
        trainer = torch_trainer(
            _worker,
            train_loop_config={
                "loop": loop,
                "settings": settings,
                "resources": resources,
                "folder": str(run.folder),
            },
            torch_config=TorchConfig(backend=resources.backend),
            scaling_config=ScalingConfig(
                num_workers=resources.num_workers,
                use_gpu=resources.device == "cuda",
                resources_per_worker={"CPU": resources.cpus_per_worker}
                | ({"GPU": 1} if resources.device == "cuda" else {}),
            ),
            run_config=RunConfig(
                name=run.name,
                storage_path=str(run.storage.resolve()),
                # Without a limit, too few CPUs would be waited for without end.
                failure_config=FailureConfig(
                    max_failures=run.max_failures, controller_failure_limit=0
                ),
                checkpoint_config=CheckpointConfig(num_to_keep=2),
            ),
        )
        run.folder.mkdir(parents=True, exist_ok=True)
        (run.folder / ERROR_FILE).unlink(missing_ok=True)
        with _watching(run.folder / METRICS_FILE, label, steps):
            result = _fitted(trainer, run)
    return Path(result.checkpoint.path)


def fit_in_this_process(
    loop: Loop, settings: dict[str, Any], run: RayRun, result: str, out: Path
) -> list[dict[str, float]]:
    """``loop`` without Ray, as one worker; ``result`` of its last checkpoint becomes ``out``."""
    require_device(run.resources.device, "training.device")
    metrics: list[dict[str, float]] = []

    def report(reported: dict[str, float], folder: Path | None) -> None:
        metrics.append(reported)
        if folder is not None and (folder / result).exists():
            with writing(out) as beside:
                shutil.copytree(folder / result, beside)

    loop(settings, Worker(device=run.resources.device), None, report)
    return metrics


def _require_gpus(resources: TrainingResources) -> None:
    """A local cluster never gains a GPU: say at once what Ray would wait for."""
    if resources.device != "cuda" or "RAY_ADDRESS" in os.environ:
        return
    import ray

    found = int(ray.cluster_resources().get("GPU", 0))
    if found < resources.num_workers:
        advice = f"--set training.num_workers={found}"
        if not found:
            advice = "--set training.device=cpu --set training.backend=gloo"
        raise HomefeedError(
            f"{resources.num_workers} workers need a GPU each, this machine has {found} GPUs for "
            f"them; give {advice}"
        )


def _fitted(trainer: Any, run: RayRun) -> Any:
    from ray.train import ControllerError, WorkerGroupError

    try:
        result = trainer.fit()
    except (ControllerError, WorkerGroupError) as error:
        lines = str(error).strip().splitlines() or [repr(error)]
        raise HomefeedError(
            f"training {run.name!r} failed: {lines[-1].strip()}; the whole error is in the log of "
            f"this step, checkpoints are in {run.folder}: run it again to go on from them"
        ) from error
    if (run.folder / ERROR_FILE).exists():
        found = read_json(run.folder / ERROR_FILE)
        raise getattr(errors, found["kind"], HomefeedError)(found["message"])
    if result.error is not None or result.checkpoint is None:
        raise HomefeedError(f"training {run.name!r} ended without a checkpoint: {result.error}")
    return result


def _worker(config: dict[str, Any]) -> None:
    """What Ray runs once per worker."""
    import ray.train
    import ray.train.torch
    import torch

    resources: TrainingResources = config["resources"]
    context = ray.train.get_context()
    torch.set_num_threads(resources.threads_per_worker)
    worker = Worker(
        rank=context.get_world_rank(),
        size=context.get_world_size(),
        device=str(ray.train.torch.get_device()) if resources.device == "cuda" else "cpu",
    )

    def report(metrics: dict[str, float], folder: Path | None) -> None:
        # Every worker reports; only rank 0 has written a checkpoint.
        checkpoint = None
        if worker.rank == 0:
            with open(Path(config["folder"]) / METRICS_FILE, "a") as stream:
                stream.write(json.dumps(metrics) + "\n")
            if folder is not None:
                checkpoint = ray.train.Checkpoint.from_directory(str(folder))
        ray.train.report(metrics, checkpoint=checkpoint)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)  # Ray has stored a copy

    last = ray.train.get_checkpoint()
    try:
        if last is None:
            config["loop"](config["settings"], worker, None, report)
        else:
            with last.as_directory() as folder:
                config["loop"](config["settings"], worker, Path(folder), report)
    except HomefeedError as error:
        # Every worker meets it alike and would again: tell the driver instead of restarting.
        if worker.rank == 0:
            write_json(
                Path(config["folder"]) / ERROR_FILE,
                {"kind": type(error).__name__, "message": str(error)},
            )


@contextmanager
def _watching(metrics: Path, label: str, steps: int) -> Iterator[None]:
    """Show on the driver what the workers write to their metrics file."""
    done = threading.Event()

    def watch() -> None:
        progress = Progress(label, steps)
        while not done.wait(0.5):
            lines = metrics.read_text().splitlines() if metrics.exists() else []
            if lines and lines[-1].endswith("}"):
                last = json.loads(lines[-1])
                if new := int(last["step"]) - progress.done:
                    progress.advance(new, f"loss {last['loss']:.3f}")
        progress.close()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def read_metrics(run: RayRun) -> list[dict[str, float]]:
    """What a run reported, by step; a step that was repeated after a restart counts once."""
    path = run.folder / METRICS_FILE
    lines = path.read_text().splitlines() if path.exists() else []
    by_step = {m["step"]: m for m in map(json.loads, lines)}
    return [by_step[step] for step in sorted(by_step)]
