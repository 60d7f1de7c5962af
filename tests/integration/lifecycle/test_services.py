"""Services that cannot start: a run does not go on for minutes to tell it at its end."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.runs import list_runs
from serving.ports import free_port

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]


def test_services_that_cannot_start_end_the_run_in_its_first_steps(tmp_path: Path) -> None:
    workspace, port = tmp_path / "workspace", free_port("127.0.0.1")
    (workspace / "runs").mkdir(parents=True)
    (workspace / "runs" / f"bentoml-{port}").write_text("where BentoML's folder has to be")
    chosen = (f"storage.root={workspace}", f"serving.port={port}", "training.num_workers=0")
    options = [word for one in chosen for word in ("--set", one)]
    command = [sys.executable, "-m", "homefeed_cli.main", "run", "--recipe", "tiny", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "homefeed: the server ended with code" in done.stderr
    assert "Traceback" not in done.stderr.partition("its log")[0]
    begun = list_runs(workspace / "runs")  # none where the services ended before it began
    assert [run.status for run in begun] in ([], ["stopped"])
    finished = {step.name for run in begun for step in run.steps if step.status == "done"}
    assert "train-rankers" not in finished
