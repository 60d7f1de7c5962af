"""All rankers of a run in one fit under Ray Train (a fit's start-up is paid once)."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from homefeed.artifacts import writing
from homefeed.data.sequences import SequenceStore
from homefeed.data.training_set import TrainingSet
from homefeed.models.ranker_batch import ItemTables
from homefeed.training.checkpoints import Report
from homefeed.training.fit_ranker import (
    RankerFit,
    run_ranker_fit,
    save_rankers,
)
from homefeed.training.ranker_config import RankerFitConfig
from homefeed.training.ranker_plan import planned_steps
from homefeed.training.ray import RayRun, fit_in_this_process, fit_with_ray, read_metrics
from homefeed.training.workers import Worker

RANKERS = "rankers"


def train_rankers_with_ray(
    config: RankerFitConfig,
    training_set: Path,
    store: Path,
    tables: ItemTables,
    out: Path,
    *,
    bound_to: Mapping[str, Any],
    run: RayRun,
) -> list[dict[str, float]]:
    """Fit all rankers on Ray workers (in this process where num_workers is 0).

    Writes ``out/<variant>`` for each ranker; returns the reported metrics. A fit that died goes
    on from its last checkpoint when it is started again under the same run.
    """
    settings = {
        "config": config,
        "training_set": str(Path(training_set).resolve()),
        "store": str(Path(store).resolve()),
        "tables": tables,
        "bound_to": dict(bound_to),
        "show": run.resources.num_workers == 0,
    }
    if run.resources.num_workers == 0:
        return fit_in_this_process(ranker_loop, settings, run, RANKERS, Path(out))
    steps = planned_steps(config, TrainingSet.open(training_set))
    last = fit_with_ray(ranker_loop, settings, run, label="rankers", steps=steps)
    with writing(Path(out)) as beside:
        shutil.copytree(last / RANKERS, beside)
    return read_metrics(run)


def ranker_loop(
    settings: dict[str, Any], worker: Worker, resume: Path | None, report: Report
) -> None:
    """One worker's whole fit; the last checkpoint carries the finished rankers."""
    fit = RankerFit(
        settings["config"],
        TrainingSet.open(Path(settings["training_set"])),
        SequenceStore.open(Path(settings["store"])),
        settings["tables"],
        worker=worker,
    )
    if resume is not None:
        fit.resume(resume)

    def reporting(metrics: dict[str, float], folder: Path | None) -> None:
        if folder is not None and fit.step == fit.steps and worker.rank == 0:
            save_rankers(fit, folder / RANKERS, settings["bound_to"], metrics)
        report(metrics, folder)

    with tempfile.TemporaryDirectory() as scratch:
        run_ranker_fit(fit, Path(scratch), reporting, settings["show"])
