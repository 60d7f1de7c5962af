"""Local runs: one child process of its own session, with a log, a time limit, no orphans.

kfp.local leaves steps running when its driver dies, and has no limits, so the launcher starts
one child a run in its own session and ends the whole process group with it.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from filelock import AcquireReturnProxy, FileLock, Timeout

from homefeed import errors
from homefeed.config import RUN_VARIABLE, Config
from homefeed.errors import BusyError, GateRefused, PipelineError
from homefeed.training.ray_head import exit_code_file
from pipelines.runs import LogReader, Run, Step, clear_partial, clear_unfinished, new_run

Listener = Callable[[str, Step | None], None]

CHILD = (sys.executable, "-m", "pipelines.child")  # the process of a run

_LONGEST_TEMPORARY = 30  # of the folder for temporary files: Ray adds some 75 characters

QUIET = {  # no telemetry, no token files, no per-second chatter (see docs/architecture.md)
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",  # workers are the run: they do not stand back for it
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "True",
    "GX_ANALYTICS_ENABLED": "False",
    "TQDM_DISABLE": "1",
    "PYTHONWARNINGS": "ignore",
    "PYTHONUNBUFFERED": "1",
    "PYTHONIOENCODING": "utf-8",  # as its output is read
    "PYTHONSAFEPATH": "1",  # a folder named `homefeed` where the run was started is no package
}
# One thread a process: training runs one process a core, and a second thread that waits for a
# busy core at every barrier makes a step many times slower (docs/lab_log.md).
THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# A step's process keeps up to 256 MiB that it frees, blocks of up to 32 MiB among them: given back
# to the kernel, the tensors of a training step come again as page faults (`serving.tuning`).
MEMORY = {"MALLOC_TRIM_THRESHOLD_": "268435456", "MALLOC_MMAP_THRESHOLD_": "33554432"}
# Ray Train watches, in a process of its own, for nodes that a cluster is about to take away.
ALONE = {"RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0"}


def run_pipeline(
    pipeline: str,
    arguments: dict[str, Any],
    config: Config,
    code_version: str,
    listen: Listener,
    child: Sequence[str] = CHILD,
) -> Run:
    """Run a pipeline here and wait for it; ``listen`` gets each log line and changed step.
    ``child`` is the command of the run's process; it gets the run's folder as its last word.

    Only one writer of a workspace runs at a time: BusyError otherwise. The returned run has its
    status, and where a step failed the step's error.
    """
    runs = config.workspace / "runs"
    with ExitStack() as stack:
        stack.enter_context(only_writer(config.workspace))
        clear_unfinished(runs)
        run = new_run(runs, pipeline, arguments, code_version)
        stack.callback(clear_partial, runs / run.run_id)  # a step that is ended clears nothing
        temporary = Path(tempfile.mkdtemp(prefix="hf-", dir=_short_folder()))
        stack.callback(shutil.rmtree, temporary, ignore_errors=True)
        environment = {**THREADS, **MEMORY, **os.environ, **QUIET, "TMPDIR": str(temporary)}
        environment[RUN_VARIABLE] = run.run_id
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment.get('PATH', '')}"
        if config.training.num_workers > 0 and "RAY_ADDRESS" not in os.environ:
            environment = {**ALONE, **environment}
            log = runs.resolve() / run.run_id / "ray-head.log"
            address = stack.enter_context(_ray_head(config, temporary, environment, log))
            environment["HOMEFEED_RAY_ADDRESS_FILE"] = str(address)
            environment["HOMEFEED_RAY_HEAD_LOG"] = str(log)
        command = [*child, str(runs / run.run_id)]
        return _follow(run, runs, command, environment, config.pipelines.run_timeout_s, listen)


def _short_folder() -> str:
    """Where a run's temporary folder may lie: Ray's sockets live below it, and end at 107 bytes."""
    found = tempfile.gettempdir()
    return (
        "/tmp" if len(os.fsencode(found)) > _LONGEST_TEMPORARY and Path("/tmp").is_dir() else found
    )


def only_writer(workspace: Path) -> AcquireReturnProxy:
    """Hold the workspace for a run; who holds it already may take it again. Raises BusyError."""
    workspace.mkdir(parents=True, exist_ok=True)
    try:
        return FileLock(workspace / "writer.lock", is_singleton=True).acquire(timeout=0)
    except Timeout:
        raise BusyError(
            f"another pipeline run is writing to {workspace}; wait for it "
            "(`homefeed pipeline list`) or use another folder with --set storage.root=FOLDER"
        ) from None


class _ray_head:  # noqa: N801 - used as a context manager, like a function
    """One Ray head for the whole run, started beside the first steps (they do not need it)."""

    def __init__(
        self, config: Config, temporary: Path, environment: dict[str, str], log: Path
    ) -> None:
        self.address, self.log = temporary / "ray-address", log
        self.command = [
            *(sys.executable, "-m", "homefeed.training.ray_head", str(self.address)),
            *(str(config.training.ray_cpus), str(config.training.object_store_mb)),
        ]
        self.environment = environment

    def __enter__(self) -> Path:
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                self.command, env=self.environment, stdin=subprocess.PIPE, stdout=log, stderr=log
            )
        self.watcher = threading.Thread(target=self._tell_its_end, daemon=True)
        self.watcher.start()
        return self.address

    def _tell_its_end(self) -> None:
        """Steps that wait for a head that has ended are told so (they are not its parent)."""
        code = self.process.wait()
        ended = exit_code_file(self.address)
        beside = ended.with_suffix(".partial-end")
        with suppress(OSError):  # a full disk: then they wait for as long as they do
            beside.write_text(str(code))
            beside.rename(ended)

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()  # the head shuts down when its standard input ends
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.watcher.join()  # it writes to a folder that is removed next


def _follow(
    run: Run,
    runs: Path,
    command: list[str],
    environment: dict[str, str],
    timeout_s: int,
    listen: Listener,
) -> Run:
    folder = runs / run.run_id
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,  # closes when this process ends, however it ends: the child sees it
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",  # a step, or what it runs, may print any bytes
        start_new_session=True,
    )
    watchdog = _Watchdog(process, started + timeout_s)
    reader = LogReader(run)
    try:
        with (folder / "log.txt").open("w", encoding="utf-8") as log, watchdog:
            assert process.stdout is not None
            for line in process.stdout:
                log.write(line)
                log.flush()
                step = reader.read(line, time.monotonic())
                if step is not None:
                    run.save(runs)
                listen(line, step)
        process.wait()
    except BaseException:
        run.status = "stopped"
        raise
    finally:
        _end_group(process)
        assert process.stdin is not None
        process.stdin.close()
        run.seconds = round(time.monotonic() - started, 1)
        _close(run, reader, process.returncode, watchdog.fired, timeout_s)
        run.save(runs)
    return run


def _close(run: Run, reader: LogReader, code: int | None, timed_out: bool, limit_s: int) -> None:
    for step in run.steps:
        if step.status == "running":
            step.status = "stopped" if run.status == "stopped" else "failed"
            step.seconds = reader.running_s(time.monotonic())
    if run.status == "stopped":
        run.error, run.exit_code = "interrupted", 130
    elif timed_out:
        run.status, run.exit_code = "timed out", 2
        run.error = f"took longer than {limit_s} s (pipelines.run_timeout_s)"
    elif code == 0:
        run.status = "succeeded"
    else:
        kind = getattr(errors, reader.error_kind, PipelineError)
        run.status = "failed"
        run.exit_code = 3 if isinstance(kind, type) and issubclass(kind, GateRefused) else 2
        run.error = _said(reader) or (
            "its process ended without an error of its own: killed, or out of memory"
            if run.failed_step
            else f"the run's process ended with code {code}"
        )


def _said(reader: LogReader) -> str:
    """The error as a person reads it: the project's own need no name before their message."""
    if hasattr(errors, reader.error_kind) and reader.error:
        return reader.error
    return ": ".join(part for part in (reader.error_kind, reader.error) if part)


class _Watchdog:
    """Ends the run's process group when its time is up."""

    def __init__(self, process: subprocess.Popen[str], deadline: float) -> None:
        self.fired = False
        self.process = process
        self.timer = threading.Timer(max(deadline - time.monotonic(), 0.0), self._fire)
        self.timer.daemon = True

    def _fire(self) -> None:
        self.fired = True
        _end_group(self.process)

    def __enter__(self) -> "_Watchdog":
        self.timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.timer.cancel()


def _end_group(process: subprocess.Popen[str]) -> None:
    for sign, patience_s in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            continue
    process.poll()
