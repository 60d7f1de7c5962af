"""Start and stop a server: its own session, a log file, ready before it returns, no orphans."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from homefeed.client import Client
from homefeed.errors import ServerError, StorageError
from serving.ports import free_port, refuse_busy
from serving.settings import Settings

SPLIT, IN_PROCESS = "service", "in_process"  # the values of `serving.scorer` in homefeed.yaml
_SERVICES = {SPLIT: "serving.service:Feed", IN_PROCESS: "serving.service:FeedOneProcess"}
WAIT_S = 180.0  # for a server to start: a machine under load may take two minutes
_LOG_LINES = 12
_LONGEST_TEMPORARY = 40  # the services' Unix socket lies below it: 103 characters in all


@dataclass
class ServerHandle:
    """A running server; use it as a context manager, or call ``stop``."""

    url: str
    process: subprocess.Popen
    log_path: Path

    def client(self, **kwargs: Any) -> Client:
        """A client of this server."""
        return Client(self.url, **kwargs)

    def running(self) -> bool:
        """Whether the server's first process lives."""
        return self.process.poll() is None

    def wait(self, wait_s: float = WAIT_S, *, for_release: bool = True) -> None:
        """Return when /readyz says that it serves; without ``for_release``, as soon as it answers.

        It is asked once at least. Raises ServerError where it ended (at once; the message holds
        the last lines of its log) or is not ready after ``wait_s`` (the message names its log).
        """
        deadline = time.monotonic() + wait_s
        reason = "it does not answer"
        while True:
            if not self.running():
                raise ServerError(
                    f"the server ended with code {self.process.returncode} while it started; "
                    f"its log {self.log_path} ends with:\n{_tail(self.log_path)}"
                )
            try:
                status = httpx.get(f"{self.url}/readyz", timeout=5.0, trust_env=False).json()
                if status["ready"] or not for_release:
                    return
                reason = status.get("reason", reason)
            except (httpx.HTTPError, ValueError, KeyError):
                pass
            if time.monotonic() >= deadline:
                break
            time.sleep(0.1)
        raise ServerError(
            f"the server at {self.url} is not ready after {wait_s:.0f} s ({reason}); "
            f"see its log {self.log_path}"
        )

    def stop(self, timeout_s: float = 15.0) -> None:
        """End all its processes: first asked, then, after ``timeout_s``, killed."""
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()
        _signal_group(self.process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=timeout_s)
        _signal_group(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def __enter__(self) -> "ServerHandle":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start_server(
    workspace: Path,
    port: int = 0,
    *,
    wait_s: float = WAIT_S,
    wait_for_release: bool = True,
    **options: Any,
) -> ServerHandle:
    """Start a server as ``launch_server`` does and return when /readyz says that it serves.

    With ``wait_for_release=False`` it returns as soon as the server answers, even without a
    champion in the ledger. Raises as ``launch_server`` and ``ServerHandle.wait`` do.
    """
    handle = launch_server(workspace, port, **options)
    try:
        handle.wait(wait_s, for_release=wait_for_release)
    except BaseException:
        handle.stop()
        raise
    return handle


def launch_server(
    workspace: Path,
    port: int = 0,
    *,
    simulated_clock: bool = False,
    scorer: str = SPLIT,
    host: str = "127.0.0.1",
    workers: int = 1,
    scorer_workers: int = 1,
    settings: Settings | None = None,
    log_path: Path | None = None,
) -> ServerHandle:
    """Start a server over ``workspace``; whether it came up is for ``ServerHandle.wait`` to say.

    Port 0 takes a free one. ``scorer`` is ``service`` (a process of its own) or ``in_process``.
    Without ``settings`` they are read from the variables ``HOMEFEED_*``. Raises ServerError where
    the port is busy, StorageError where the workspace cannot be written.
    """
    if scorer not in _SERVICES:
        raise ServerError(f"scorer is {scorer!r}; give {SPLIT!r} or {IN_PROCESS!r}")
    workspace = Path(workspace).resolve()
    settings = settings or Settings.from_env()
    settings = replace(settings, workspace=workspace, simulated_clock=simulated_clock)
    port = port or free_port(host)
    refuse_busy(host, port)
    log_path = log_path or workspace / "runs" / f"server-{port}.log"
    try:
        log_path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make {log_path.parent}: {error.strerror}") from error
    environment = {**settings.to_env(), **_bento_env(workspace, port, workers, scorer_workers)}
    process = _process([_SERVICES[scorer], host, str(port)], environment, log_path)
    answering = "127.0.0.1" if host == "0.0.0.0" else host
    return ServerHandle(f"http://{answering}:{port}", process, log_path)


def _process(words: list[str], environment: Mapping[str, str], log_path: Path) -> subprocess.Popen:
    """The server's first process, in a session of its own; it ends when its pipe to us closes."""
    with log_path.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "serving.launch", *words],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment, "OMP_NUM_THREADS": "1"},
            cwd=Path(__file__).resolve().parents[1],
            start_new_session=True,
        )


def _bento_env(workspace: Path, port: int, workers: int, scorer_workers: int) -> Mapping[str, str]:
    short = len(tempfile.gettempdir()) <= _LONGEST_TEMPORARY
    return {
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": str(workspace / "runs" / f"bentoml-{port}"),
        "TMPDIR": tempfile.gettempdir() if short else "/tmp",
        "BENTOML_CONFIG_OPTIONS": (
            f"services.homefeed.workers={workers} "
            f"services.homefeed_one_process.workers={workers} "
            f"services.homefeed_scorer.workers={scorer_workers}"
        ),
    }


def _tail(log_path: Path) -> str:
    lines = log_path.read_text(errors="replace").splitlines()
    return "\n".join(f"  {line}" for line in lines[-_LOG_LINES:]) or "  (empty)"


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
