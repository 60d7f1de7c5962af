"""What the head of a run starts ahead of its fits, and what a fit does without."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from homefeed.config import Config
from homefeed.training.ray_head import ray_address
from homefeed.training.ray_trainer import torch_trainer
from pipelines import local

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

NAMES = """
import sys, time, ray
from ray.data._internal.stats import STATS_ACTOR_NAME
ray.init(address=sys.argv[1], log_to_driver=False)
wanted, until = {"AutoscalingCoordinator", STATS_ACTOR_NAME}, time.monotonic() + 120
while not wanted <= {a["name"] for a in ray.util.list_named_actors(all_namespaces=True)}:
    assert time.monotonic() < until, "the head starts them right after it has said where it is"
    time.sleep(0.1)
"""


def test_the_head_of_a_run_starts_the_actors_that_its_jobs_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("HOMEFEED_RAY_ADDRESS_FILE", str(tmp_path / "ray-address"))
    environment = {**os.environ, **local.QUIET, "TMPDIR": "/tmp"}
    with local._ray_head(Config(), tmp_path, environment, tmp_path / "ray-head.log"):
        address = ray_address()
        asked = [sys.executable, "-c", NAMES, address]
        done = subprocess.run(asked, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("address", "left_out"),
    [
        (None, {"DatasetsCallback", "PlacementGroupCleanerCallback"}),
        ("head:6379", {"DatasetsCallback"}),
    ],
)
def test_a_fit_starts_no_process_that_it_has_no_use_for(
    ray: None, monkeypatch: pytest.MonkeyPatch, address: str | None, left_out: set[str]
) -> None:
    from ray.train.torch import TorchTrainer

    if address:
        monkeypatch.setenv("RAY_ADDRESS", address)

    def names(trainer: Any) -> set[str]:
        return {type(each).__name__ for each in trainer._create_default_callbacks()}

    def loop() -> None:
        """Never run."""

    assert names(TorchTrainer(loop)) - names(torch_trainer(loop)) == left_out
