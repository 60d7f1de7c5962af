"""Settings for all tests."""

import math
import os
import platform
import subprocess
import sys
from collections.abc import Callable

# Kernels here are small and several test processes share the cores: one thread each. Read by
# torch and NumPy when they are first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

# A shared machine makes any example slow once: no deadline. Failures print how to repeat them.
settings.register_profile("homefeed", deadline=None, print_blob=True)
settings.load_profile("homefeed")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is marked ``gpu`` where there is no CUDA device."""
    if item.get_closest_marker("gpu") is None:
        return
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


@pytest.fixture(autouse=True)
def no_elapsed_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verbs tell nothing of their waiting: what a test reads must not depend on the machine."""
    monkeypatch.setattr("homefeed_cli.waiting.SHORT_S", math.inf)


@pytest.fixture
def told_at_once(no_elapsed_time: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for is told as soon as it begins, and once: on a machine of any speed too."""
    monkeypatch.setattr("homefeed_cli.waiting.SHORT_S", 0.0)
    monkeypatch.setattr("homefeed_cli.waiting.LOGGED_S", math.inf)


# Sixteen blocks of 12 MiB, used and freed: more than glibc keeps by itself.
ROUNDS = """
import resource
import numpy as np

def round_():
    blocks = [np.ones(12 << 20, np.uint8) for _ in range(16)]

for _ in range(3):
    round_()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    round_()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.fixture
def page_faults() -> Callable[..., int]:
    """Page faults of a process that frees much and asks for it again.

    ``before`` is code that it runs first, ``environment`` what is added to its environment.
    """
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("malloc here is not glibc's")

    def count(before: str = "", environment: dict[str, str] | None = None) -> int:
        done = subprocess.run(
            [sys.executable, "-c", before + ROUNDS],
            env={**os.environ, **(environment or {})},
            **{"capture_output": True, "text": True, "check": True},
        )
        return int(done.stdout)

    return count
