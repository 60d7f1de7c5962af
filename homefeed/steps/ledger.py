"""The registries as a step acts on them: the ledger in its run's name, by its data set's clock."""

import os
from pathlib import Path

from homefeed.clock import SimulatedClock, WallClock
from homefeed.config import RUN_VARIABLE, Config
from homefeed.data.contract import Dataset
from homefeed.release.registry import ReleaseRegistry
from homefeed.training.tracking import Tracking


def tracking_of(config: Config) -> Tracking:
    """The MLflow of this installation."""
    return Tracking(config.tracking_uri, config.workspace / "mlflow")


def acting_registry(where: Config, checked: Path, run: str) -> ReleaseRegistry:
    """The registry by the data set's clock, acting for a pipeline run.

    ``run`` is the cluster's id of it; a run on this machine is known by the id of its folder.
    """
    return ReleaseRegistry(
        where.workspace,
        tracking_uri=where.tracking_uri,
        clock=dataset_clock(checked),
        run=os.environ.get(RUN_VARIABLE) or run,
    )


def dataset_clock(checked: Path) -> WallClock | SimulatedClock:
    """The world's ledger stands in the world's own time; every other one in ours."""
    spec = Dataset.open(checked).spec
    return SimulatedClock(spec.span[1]) if spec.live and spec.span else WallClock()
