"""Run records, and the steps that a log tells of. The logs were written by kfp.local."""

import subprocess
import sys
from pathlib import Path

import pytest

from homefeed.errors import PipelineError
from pipelines.runs import LogReader, Run, Step, list_runs, load_run, new_run

LOGS = Path(__file__).parent / "logs"


def _read(name: str) -> LogReader:
    """Follow a log, one line a second."""
    reader = LogReader(Run("toy-1", "toy", {}))
    for second, line in enumerate((LOGS / name).read_text().splitlines(keepends=True)):
        reader.read(line, float(second))
    return reader


def test_a_log_tells_which_steps_are_done_and_which_failed_with_what() -> None:
    reader = _read("failed.txt")
    assert [(s.name, s.status) for s in reader.run.steps] == [
        ("first", "done"),
        ("second", "failed"),
    ]
    assert reader.run.failed_step == "second"
    assert (reader.error_kind, reader.error) == ("RuntimeError", "it broke")


def test_a_step_taken_from_the_cache_is_told_apart() -> None:
    reader = _read("refused_after_cache.txt")
    assert [(s.name, s.status) for s in reader.run.steps] == [
        ("first", "cached"),
        ("second", "failed"),
    ]
    assert reader.error_kind == "CheckRefused"
    assert reader.error == "12 % of rows broke rule positions-from-1"


def test_a_step_that_was_killed_has_no_error_of_its_own() -> None:
    reader = _read("killed.txt")
    assert reader.run.steps[-1].status == "failed"
    assert reader.error == ""


def test_the_error_of_the_pipeline_is_not_taken_for_the_steps() -> None:
    lines = (LOGS / "failed.txt").read_text()
    assert "RuntimeError: Pipeline" in lines, "kfp's own last line is in the log"
    assert "Pipeline" not in _read("failed.txt").error


def test_a_step_that_ends_well_after_printing_an_error_leaves_none_to_the_next() -> None:
    reader = LogReader(Run("toy-1", "toy", {}))
    log = (LOGS / "one_done.txt").read_text().splitlines()
    ended = next(i for i, line in enumerate(log) if "finished with status" in line)
    retried = ["    Traceback (most recent call last):", "    CheckRefused: retried, went well"]
    for line in [*log[:ended], *retried]:
        reader.read(line, 0.0)
    assert (reader.error_kind, reader.error) == ("CheckRefused", "retried, went well")
    for line in log[ended:]:
        reader.read(line, 0.0)
    assert reader.run.steps[-1].status == "done"
    assert (reader.error_kind, reader.error) == ("", "")
    reader.read("10:00:00.000 - INFO - Executing task 'third'", 1.0)
    assert (reader.error_kind, reader.error) == ("", "")


def test_seconds_are_those_between_a_steps_first_and_last_line() -> None:
    lines = (LOGS / "one_done.txt").read_text().splitlines()
    (step,) = _read("one_done.txt").run.steps
    began = next(i for i, line in enumerate(lines) if "Executing task" in line)
    ended = next(i for i, line in enumerate(lines) if "finished with status" in line)
    assert step.seconds == ended - began


def test_every_line_that_changes_a_step_returns_it() -> None:
    reader = LogReader(Run("toy-1", "toy", {}))
    lines = (LOGS / "failed.txt").read_text().splitlines()
    told = [step for line in lines if (step := reader.read(line, 0.0))]
    assert [step.name for step in told] == ["first", "first", "second", "second"]


def test_a_saved_run_is_read_back_as_it_was(tmp_path: Path) -> None:
    run = new_run(tmp_path, "daily", {"date": "2025-03-01"}, "0.1.0+abc")
    run.steps = [Step("check-day", "done", 1.5), Step("append-day", "failed", 0.1)]
    run.status, run.error, run.exit_code = "failed", "disk full", 2
    run.save(tmp_path)
    assert load_run(tmp_path, run.run_id) == run
    assert load_run(tmp_path, "").failed_step == "append-day"


def test_runs_are_listed_newest_first(tmp_path: Path) -> None:
    made = []
    for day in (2, 1, 3):
        run = Run(f"daily-{day}", "daily", {}, started=f"2025-03-0{day}T00:00:00+00:00")
        (tmp_path / run.run_id).mkdir()
        run.save(tmp_path)
        made.append(run)
    assert [r.run_id for r in list_runs(tmp_path)] == ["daily-3", "daily-2", "daily-1"]


def test_a_run_that_is_not_there_is_named_with_the_newest(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"no runs in .*; start one with"):
        load_run(tmp_path, "")
    run = new_run(tmp_path, "daily", {}, "")
    with pytest.raises(PipelineError, match=f"no run 'x'.*{run.run_id}"):
        load_run(tmp_path, "x")


def test_a_run_whose_process_was_killed_is_shown_as_lost(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    run = new_run(tmp_path, "daily", {}, "")
    assert load_run(tmp_path, run.run_id).status == "running"
    run.pid = gone.pid
    run.save(tmp_path)
    found = load_run(tmp_path, run.run_id)
    assert (found.status, found.exit_code) == ("lost", 2)
    assert "goes on where it stopped" in found.error
