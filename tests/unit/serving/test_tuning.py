"""What a worker tells its runtime, measured in a process of its own."""

import subprocess
import sys
from collections.abc import Callable

KEPT = "from serving.tuning import keep_freed_memory; assert keep_freed_memory()\n"

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


def test_memory_that_a_worker_frees_is_not_asked_from_the_kernel_again(
    page_faults: Callable[..., int],
) -> None:
    assert page_faults(KEPT) < 1_000
    assert page_faults() > 10_000  # what the test could not see otherwise


def test_a_second_load_does_not_walk_what_the_first_one_left() -> None:
    done = subprocess.run([sys.executable, "-c", LOADS], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "True"]
