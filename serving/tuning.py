"""What a worker tells its runtime once: the collector, and malloc.

Python's garbage collector owns the p99 of a service that holds much and allocates little: a full
collection walks everything that was loaded, some 300 ms in which no thread answers. Frozen objects
are walked no more.

glibc's malloc gives freed memory back to the kernel, and whoever scores asks for it again with
every request: 6,466 page faults and 10 ms a request of 100 candidates, or none, as the heap
happens to lie. Kept, it costs a scorer at most ``_KEPT`` bytes.
"""

import ctypes
import gc

_GENERATIONS = (50_000, 20, 100)
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_KEPT = 256 << 20
_LARGEST_FROM_HEAP = 32 << 20  # the most that glibc takes


def freeze_garbage() -> None:
    """Collect what came since the last call, freeze it, and make collections rare.

    Call it after each load. What is frozen stays so: unfrozen for a collection, every load would
    stop a worker for as long as its start, and requests would run out of their budgets. A release
    that is left has no cycles, its last reference frees it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GENERATIONS)


def keep_freed_memory() -> bool:
    """Let this process keep what it frees, up to 256 MiB; False where malloc is not glibc's."""
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None:
        return False
    kept = set_option(_M_TRIM_THRESHOLD, _KEPT)
    return bool(kept and set_option(_M_MMAP_THRESHOLD, _LARGEST_FROM_HEAP))
