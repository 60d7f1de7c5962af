"""A Ray cluster for the tests of a file, and a way to take a worker away in the midst of a fit."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil
import pytest

from homefeed.training.ray import ray_session

KillAWorker = Callable[[Path], AbstractContextManager[list[int]]]


@pytest.fixture(scope="module")
def ray() -> Iterator[None]:
    with ray_session(num_cpus=2, object_store_mb=200):
        yield


@pytest.fixture
def kill_a_worker() -> KillAWorker:
    """Within it, a worker is killed once the metrics file has three lines; gives how many it had.

    At three, the checkpoint of the first line is stored: a worker writes a line only after Ray
    took what it reported before.
    """

    @contextmanager
    def killing(metrics: Path) -> Iterator[list[int]]:
        killed: list[int] = []
        over = threading.Event()
        before = set(_ray_workers())

        def kill_one() -> None:
            while not killed and not over.wait(0.05):
                lines = metrics.read_text().count("\n") if metrics.exists() else 0
                workers = [pid for pid in _ray_workers() if pid not in before]
                if lines >= 3 and workers:
                    os.kill(workers[-1], signal.SIGKILL)
                    killed.append(lines)

        thread = threading.Thread(target=kill_one, daemon=True)
        thread.start()
        try:
            yield killed
        finally:
            over.set()
            thread.join()

    return killing


def _ray_workers() -> list[int]:
    """Processes below this one that run a Ray Train worker: another test's are not ours to kill."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it ended while we looked
            if "RayTrainWorker" in " ".join(process.cmdline()):
                found.append(process.pid)
    return found
