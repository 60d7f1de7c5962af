"""Records of local runs: one folder a run, ``run.json`` beside its log and its artifacts."""

import dataclasses
import os
import re
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from homefeed.artifacts import PARTIAL, read_json, write_json
from homefeed.errors import ArtifactError, PipelineError

ARTIFACTS = "artifacts"  # folder of a run: what its steps wrote
RECORD = "run.json"
BROKEN = "broken"  # the status of a run whose record cannot be read


@dataclass
class Step:
    """One step of a run, as its log told it."""

    name: str
    status: str = "running"  # running, cached, done, failed, stopped
    seconds: float = 0.0


@dataclass
class Run:
    """One run of one pipeline on this machine."""

    run_id: str
    pipeline: str
    arguments: dict[str, Any]
    status: str = "running"  # running, succeeded, failed, timed out, stopped, lost, broken
    started: str = ""
    seconds: float = 0.0
    error: str = ""
    exit_code: int = 0
    code_version: str = ""
    pid: int = 0  # of the process that started it and follows its log
    steps: list[Step] = field(default_factory=list)

    def save(self, runs: Path) -> None:
        """Write ``run.json``, atomically."""
        write_json(runs / self.run_id / RECORD, dataclasses.asdict(self))

    @property
    def failed_step(self) -> str:
        """The name of the step that failed, or an empty string."""
        return next((s.name for s in self.steps if s.status == "failed"), "")


def new_run(runs: Path, pipeline: str, arguments: dict[str, Any], code_version: str) -> Run:
    """Make the folder of a new run; its id is the pipeline's name and the moment."""
    moment = datetime.now(UTC)
    run_id = f"{pipeline}-{moment:%Y%m%d-%H%M%S}-{moment.microsecond // 1000:03d}"
    run = Run(
        run_id=run_id,
        pipeline=pipeline,
        arguments=arguments,
        started=moment.isoformat(timespec="seconds"),
        code_version=code_version,
        pid=os.getpid(),
    )
    (runs / run_id).mkdir(parents=True)
    run.save(runs)
    return run


def load_run(runs: Path, run_id: str) -> Run:
    """Read one run; an empty id means the newest.

    Raises PipelineError where there is none, ArtifactError where its record cannot be read.
    """
    found = list_runs(runs)
    if not found:
        raise PipelineError(f"no runs in {runs}; start one with `homefeed pipeline run lifecycle`")
    for run in found:
        if run.run_id == run_id or not run_id:
            if run.status == BROKEN:
                raise ArtifactError(run.error)
            return run
    raise PipelineError(
        f"no run {run_id!r} in {runs}; the newest is {found[0].run_id!r} (`homefeed pipeline list`)"
    )


def list_runs(runs: Path) -> list[Run]:
    """All runs, the newest first; one whose record cannot be read is broken and says why."""
    loaded = [_read_run(path) for path in runs.glob(f"*/{RECORD}")]
    for run in loaded:
        if run.status == "running" and run.pid and not _is_alive(run.pid):
            run.status, run.exit_code = "lost", 2
            run.error = "its process is gone; the same command goes on where it stopped"
    return sorted(loaded, key=lambda run: run.started + run.run_id, reverse=True)


def _read_run(path: Path) -> Run:
    try:
        record = read_json(path)
        run = Run(**{**record, "steps": [Step(**step) for step in record.get("steps", [])]})
        for name, kind in (("run_id", str), ("started", str), ("pid", int)):
            if not isinstance(value := getattr(run, name), kind):
                raise TypeError(f"{name} is {value!r}")
        return run
    except (TypeError, ArtifactError) as error:
        written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return Run(
            run_id=path.parent.name,
            pipeline="",
            arguments={},
            status=BROKEN,
            started=written.isoformat(timespec="seconds"),
            error=f"{path} is no record that this version reads ({error}); restore it, read it "
            f"with the version that wrote it, or remove {path.parent}",
        )


def clear_artifacts(runs: Path, keep: int) -> list[Run]:
    """Delete the artifacts of all runs but the newest ``keep``; records, logs and reports stay.

    Nothing else reads them: releases, snapshots and days have copies of their own, and a step
    whose cached output is gone runs again. Returns the runs that had some. Broken ones are left.
    """
    known = [run for run in list_runs(runs) if run.status != BROKEN]
    cleared = [run for run in known[keep:] if (runs / run.run_id / ARTIFACTS).exists()]
    for run in cleared:
        shutil.rmtree(runs / run.run_id / ARTIFACTS)
    return cleared


def clear_unfinished(runs: Path) -> None:
    """Delete what steps that were killed had begun to write, of runs that never told their end.

    Only for the one writer of the workspace: whoever else wrote is gone.
    """
    for run in list_runs(runs):
        if run.status in ("running", "lost"):
            clear_partial(runs / run.run_id)


def clear_partial(run_folder: Path) -> None:
    """Delete what steps of a run had begun to write beside its place; none of them may be alive."""
    for path in list((run_folder / ARTIFACTS).rglob(f".*{PARTIAL}")):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's process: it is there
        return True
    return True


_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_STARTED = re.compile(r"INFO - Executing task '([^']+)'")
_CACHED = re.compile(r"INFO - Task '?([\w-]+)'? cache hit")
_ENDED = re.compile(r"Task '([^']+)' finished with status (SUCCESS|FAILURE)")
_TRACEBACK = "Traceback (most recent call last):"
# `a.b.Error: message`, `Error` alone, and Ray's `a.b.RayTaskError(Error): message`.
_ERROR = re.compile(r"^(?:[^\W\d]\w*\.)*([^\W\d]\w*)(?:\(([\w.]+)\))?(?:: ?(.*))?$")
_NAMED_SO = re.compile(r"(Error|Refused|Conflict|Exception|Interrupt|Timeout|Expired)$")


@dataclass
class LogReader:
    """Follows a kfp.local log line by line and keeps the run's steps up to date."""

    run: Run
    now_s: float = 0.0
    error: str = ""
    error_kind: str = ""
    _began_s: float = 0.0
    _column: int | None = None  # where the newest traceback of the step begins
    _is_open: bool = False  # whether its error is still to come

    def read(self, line: str, now_s: float) -> Step | None:
        """Take one line at ``now_s``; returns the step whose state changed, if one did."""
        plain = _COLOUR.sub("", line).rstrip()
        text = plain.strip()
        if match := _STARTED.search(text):
            self._began_s = now_s
            self._forget_error()
            self.run.steps.append(Step(match[1]))
            return self.run.steps[-1]
        if match := _CACHED.search(text):
            self.run.steps.append(Step(match[1], "cached"))
            return self.run.steps[-1]
        if (match := _ENDED.search(text)) and self.run.steps:
            step = self.run.steps[-1]
            step.status = "done" if match[2] == "SUCCESS" else "failed"
            step.seconds = round(now_s - self._began_s, 1)
            if step.status == "done":
                self._forget_error()
            return step
        if self._step_is_running():
            self._read_error(text, len(plain) - len(text))
        return None

    def _read_error(self, text: str, column: int) -> None:
        """Keep what the last traceback ended with: of a chain of errors, the one it led to.

        Lines may follow it: of its message, or the error of a Ray worker, which is the cause.
        """
        if text == _TRACEBACK:
            self._column, self._is_open = column, True
        elif column == self._column and (match := _ERROR.match(text)):
            kind = (match[2] or match[1]).rpartition(".")[2]
            if self._is_open or _NAMED_SO.search(kind):
                self.error_kind, self.error = kind, (match[3] or "").strip()
                self._is_open = False

    def _forget_error(self) -> None:
        self.error, self.error_kind = "", ""
        self._column, self._is_open = None, False

    def running_s(self, now_s: float) -> float:
        """For how long the step that runs has run."""
        return round(now_s - self._began_s, 1)

    def _step_is_running(self) -> bool:
        return bool(self.run.steps) and self.run.steps[-1].status == "running"
