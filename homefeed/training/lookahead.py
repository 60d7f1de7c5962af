"""Plans the next step's batch in a thread while a device works on this step's.

A step is planned on the host: sampling, reading the store, packing. A GPU would wait for that; a
CPU has no core to spare for it. Plans count what they sample, so they are made one after the
other, in order: what was planned ahead has been counted, and a checkpoint must not hold it.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from homefeed.training.batches import Batch


class Lookahead:
    """Hands out the batches of ``plan(step)`` for steps that follow each other."""

    def __init__(self, plan: Callable[[int], Batch]) -> None:
        self._plan = plan
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="plan")
        self._next: tuple[int, Future[Batch]] | None = None

    def take(self, step: int, *, ahead: bool) -> Batch:
        """The batch of ``step``; with ``ahead`` the one after it is begun."""
        if self._next is None:
            batch = self._plan(step)
        else:
            planned, future = self._next
            if planned != step:
                raise RuntimeError(f"step {planned} was planned ahead, step {step} is asked for")
            batch = future.result()
        self._next = (step + 1, self._thread.submit(self._plan, step + 1)) if ahead else None
        return batch

    @property
    def is_ahead(self) -> bool:
        """Whether a batch was begun that nobody has taken."""
        return self._next is not None
