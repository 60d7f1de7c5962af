"""What a worker tells its runtime, measured in a process of its own."""

import subprocess
import sys

import pytest

# Sixteen blocks of 12 MiB, used and freed: more than glibc keeps by itself.
ROUNDS = """
import resource, sys
import numpy as np
from serving.tuning import keep_freed_memory

kept = keep_freed_memory() if sys.argv[1] == "kept" else None

def round_():
    blocks = [np.ones(12 << 20, np.uint8) for _ in range(16)]

for _ in range(3):
    round_()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    round_()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

# What lay frozen whenever a full collection began: what it did not have to walk.
LOADS = """
import gc
from serving.tuning import freeze_garbage

frozen = []
gc.callbacks.append(
    lambda phase, info: frozen.append(gc.get_freeze_count())
    if phase == "start" and info["generation"] == 2 else None
)
kept = [[] for _ in range(10_000)]
freeze_garbage()
freeze_garbage()
print(len(frozen), frozen[-1] >= len(kept))
"""


def faults(how: str) -> tuple[str, int]:
    done = subprocess.run(
        [sys.executable, "-c", ROUNDS, how], capture_output=True, text=True, check=True
    )
    kept, count = done.stdout.split()
    return kept, int(count)


def test_memory_that_a_worker_frees_is_not_asked_from_the_kernel_again() -> None:
    kept, count = faults("kept")
    if kept == "False":
        pytest.skip("malloc here is not glibc's")
    assert count < 1_000
    assert faults("as it is")[1] > 10_000  # what the test could not see otherwise


def test_a_second_load_does_not_walk_what_the_first_one_left() -> None:
    done = subprocess.run([sys.executable, "-c", LOADS], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "True"]
