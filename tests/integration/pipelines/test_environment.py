"""What a local run tells the processes of its steps."""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from homefeed.config import Config, TrainingConfig
from pipelines.local import CHILD, MEMORY, QUIET, run_pipeline

pytestmark = pytest.mark.integration

TELLS = (
    "import json, os, pathlib, sys;"
    "pathlib.Path(sys.argv[1], 'told.json').write_text(json.dumps(dict(os.environ)))"
)


def told(config: Config) -> dict[str, str]:
    """The environment in which the steps of a run find themselves."""
    child = (sys.executable, "-c", TELLS)
    run = run_pipeline("toy", {}, config, "", lambda line, step: None, child=child)
    return json.loads((config.workspace / "runs" / run.run_id / "told.json").read_text())


def test_a_step_does_not_ask_the_kernel_again_for_memory_that_it_freed(
    page_faults: Callable[..., int],
) -> None:
    assert page_faults(environment=MEMORY) < 1_000
    assert page_faults() > 10_000  # what the test could not see otherwise


def test_steps_are_told_what_the_caller_has_not_set(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")
    found = told(config)
    assert found["MALLOC_TRIM_THRESHOLD_"] == MEMORY["MALLOC_TRIM_THRESHOLD_"]
    assert found["MALLOC_MMAP_THRESHOLD_"] == "65536"


def test_only_a_ray_of_the_runs_own_goes_without_the_watch_for_nodes_that_are_taken_away(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_ray = dataclasses.replace(config, training=TrainingConfig(num_workers=1))
    assert told(with_ray)["RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"] == "0"
    monkeypatch.setenv("RAY_ADDRESS", "ray.example:6379")
    assert "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER" not in told(with_ray)


def test_a_folder_named_like_the_package_where_a_run_is_started_is_no_package(
    tmp_path: Path,
) -> None:
    (tmp_path / "homefeed").mkdir()
    command = [CHILD[0], "-c", f"import {CHILD[-1]}"]
    environment = {**os.environ, **QUIET}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_step_may_print_what_the_callers_terminal_cannot_show(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    lines: list[str] = []
    child = (sys.executable, "-c", "print('Möbel')")
    run = run_pipeline("toy", {}, config, "", lambda line, step: lines.append(line), child=child)
    assert (run.status, lines) == ("succeeded", ["Möbel\n"])


def test_a_long_folder_for_temporary_files_does_not_make_rays_sockets_too_long(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(str(tmp_path)) > 30
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert Path(told(config)["TMPDIR"]).parent == Path("/tmp")
