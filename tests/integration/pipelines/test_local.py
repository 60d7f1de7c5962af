"""Local runs for real: kfp's subprocess runner, with a pipeline of two small steps."""

import dataclasses
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from homefeed.config import Config, PipelinesConfig
from homefeed.errors import BusyError
from pipelines.local import run_pipeline
from pipelines.runs import clear_artifacts, load_run

pytestmark = pytest.mark.integration
HERE = Path(__file__).parent
TOY = (sys.executable, str(HERE / "toy.py"))


@pytest.fixture
def how(tmp_path: Path) -> Path:
    """What the second step does: pass, wait, die, or the name of an error and its words."""
    return tmp_path / "how"


def _run(config: Config, how: Path, data: str = "text", listen: Any = None) -> Any:
    arguments = {"data": data, "how": str(how), "code_version": "0.1.0+abc"}
    quiet = listen or (lambda line, step: None)
    return run_pipeline("toy", arguments, config, "0.1.0+abc", quiet, child=TOY)


def _steps(run: Any) -> list[tuple[str, str]]:
    return [(step.name, step.status) for step in run.steps]


def test_a_failed_run_names_step_and_error_and_resumes_there(
    toy: Any, config: Config, how: Path
) -> None:
    how.write_text("DatasetError actions.csv has no column item_id; rename it")
    lines: list[str] = []
    failed = _run(config, how, listen=lambda line, step: lines.append(line))
    assert _steps(failed) == [("first", "done"), ("second", "failed")]
    assert (failed.status, failed.exit_code) == ("failed", 2)
    assert failed.error == "actions.csv has no column item_id; rename it"
    assert "    = wrote text\n" in lines
    assert load_run(config.workspace / "runs", failed.run_id) == failed

    how.write_text("pass")
    resumed = _run(config, how)
    assert _steps(resumed) == [("first", "cached"), ("second", "done")]
    assert (resumed.status, resumed.exit_code, resumed.error) == ("succeeded", 0, "")
    (done,) = (config.workspace / "runs" / resumed.run_id).glob("artifacts/*/second/done")
    assert done.read_text() == "text"

    assert _steps(_run(config, how)) == [("first", "cached"), ("second", "cached")]
    other = _run(config, how, data="other text")
    assert _steps(other) == [("first", "done"), ("second", "done")]


def test_cleaning_leaves_records_and_logs_and_the_next_run_makes_again_what_is_gone(
    toy: Any, config: Config, how: Path
) -> None:
    how.write_text("pass")
    first, second = _run(config, how), _run(config, how, data="other text")
    runs = config.workspace / "runs"
    assert [run.run_id for run in clear_artifacts(runs, keep=1)] == [first.run_id]
    assert not (runs / first.run_id / "artifacts").exists()
    assert (runs / second.run_id / "artifacts").exists()
    assert load_run(runs, first.run_id) == first
    assert (runs / first.run_id / "log.txt").exists()
    assert clear_artifacts(runs, keep=1) == [], "what was cleaned is not cleaned again"
    assert _steps(_run(config, how, data="other text")) == [
        ("first", "cached"),
        ("second", "cached"),
    ]
    assert _steps(_run(config, how)) == [("first", "done"), ("second", "done")]


def test_a_refused_threshold_ends_with_code_three(toy: Any, config: Config, how: Path) -> None:
    how.write_text("CheckRefused 12 % of rows broke positions-from-1")
    refused = _run(config, how)
    assert (refused.failed_step, refused.exit_code) == ("second", 3)
    assert refused.error == "12 % of rows broke positions-from-1"


def test_a_step_that_was_killed_is_named_with_a_likely_cause(
    toy: Any, config: Config, how: Path
) -> None:
    how.write_text("die")
    killed = _run(config, how)
    assert (killed.failed_step, killed.exit_code) == ("second", 2)
    assert "killed, or out of memory" in killed.error


def test_a_run_beyond_its_time_is_ended_with_all_that_it_started(
    config: Config, alive: Any
) -> None:
    stubborn = (sys.executable, str(HERE / "stubborn.py"))
    limited = dataclasses.replace(config, pipelines=PipelinesConfig(run_timeout_s=6))
    run = run_pipeline("toy", {}, limited, "", lambda line, step: None, child=stubborn)
    assert (run.status, run.exit_code, run.failed_step) == ("timed out", 2, "train-forever")
    assert run.error == "took longer than 6 s (pipelines.run_timeout_s)"
    process = config.workspace / "runs" / run.run_id / "processes"
    assert not alive(int(process.read_text()))


def test_a_second_run_at_the_same_time_is_refused_and_leaves_nothing(
    toy: Any, config: Config, how: Path
) -> None:
    config.workspace.mkdir()
    with FileLock(config.workspace / "writer.lock"), pytest.raises(BusyError, match="another"):
        _run(config, how)
    assert [p.name for p in config.workspace.iterdir()] == ["writer.lock"]


def test_a_run_that_failed_to_start_gives_the_workspace_back(
    config: Config,
) -> None:
    nothing = ("/no/such/program",)
    for _ in range(2):  # the second one would find the workspace busy
        with pytest.raises(FileNotFoundError):
            run_pipeline("toy", {}, config, "", lambda line, step: None, child=nothing)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_launcher_that_is_ended_leaves_no_process_and_nothing_half_written(
    sign: signal.Signals,
    toy: Any,
    config: Config,
    how: Path,
    tmp_path: Path,
    alive: Any,
    wait_until: Any,
) -> None:
    waits = tmp_path / "processes"
    how.write_text(f"wait {waits}")
    launcher = subprocess.Popen(
        [sys.executable, HERE / "launcher.py", toy.HERE, config.workspace, how],
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: waits.exists() and len(waits.read_text().split()) == 2)
    processes = [int(each) for each in waits.read_text().split()]
    assert all(alive(each) for each in processes)
    launcher.send_signal(sign)
    launcher.wait(60)
    wait_until(lambda: not any(alive(each) for each in processes))
    run = load_run(config.workspace / "runs", "")
    with FileLock(config.workspace / "writer.lock", timeout=0):
        pass
    if sign == signal.SIGKILL:  # nothing can write down that it was killed, or clear: the next does
        how.write_text("pass")
        assert _run(config, how).status == "succeeded"
    else:
        assert (run.status, run.exit_code) == ("stopped", 130)
        assert run.steps[-1].status == "stopped"
    written = {path.name for path in (config.workspace / "runs" / run.run_id).rglob("*")}
    assert "made" in written, "what was whole stays"
    assert not [name for name in written if "done" in name]
