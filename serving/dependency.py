"""A dependency with a time budget: late or broken, it is given up, and the answer degrades."""

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any, TypeVar

logger = logging.getLogger("homefeed.serving")

T = TypeVar("T")

_TELL_EVERY_S = 60.0


class DependencyError(Exception):
    """The dependency did not answer in its budget, or failed; the text says which and why."""


class Lapses:
    """Tells the server's log of a dependency's lapses: the first at once, then a line a minute."""

    def __init__(self, now_s: Callable[[], float] = monotonic) -> None:
        self._now_s, self._told_s, self._untold = now_s, -_TELL_EVERY_S, 0

    def note(self, error: DependencyError) -> None:
        """Count one; tell of all since the last line where that is a minute ago."""
        self._untold += 1
        now_s = self._now_s()
        if now_s - self._told_s >= _TELL_EVERY_S:
            logger.warning("degraded answers: %d; %s", self._untold, error)
            self._told_s, self._untold = now_s, 0


class Dependency:
    """Runs blocking calls in threads of its own, each within the budget.

    Calls that overran still hold a thread. While all threads are held the dependency counts as
    gone and is refused at once, so that a hanging store costs the next requests nothing.
    """

    def __init__(self, name: str, budget_ms: float, *, threads: int = 4) -> None:
        self.name, self.budget_ms = name, budget_ms
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name.replace(" ", "-"))
        self._most_late, self._late = threads, 0
        self._lock = threading.Lock()
        self._lapses = Lapses()

    async def call(self, function: Callable[..., T], *args: Any) -> T:
        """The function's result; DependencyError where it is late or raises."""
        try:
            return await self._call(function, *args)
        except DependencyError as error:
            self._lapses.note(error)
            raise

    async def _call(self, function: Callable[..., T], *args: Any) -> T:
        if self._late >= self._most_late:
            raise DependencyError(f"{self.name} hangs: {self._late} calls have not come back")
        future = self._pool.submit(function, *args)
        waiting = asyncio.wrap_future(future)
        done, _ = await asyncio.wait({waiting}, timeout=self.budget_ms / 1000)
        if not done:
            waiting.add_done_callback(_drop)  # what it raises after all is told by nobody
            self._count_late(future)
            raise DependencyError(f"{self.name} did not answer within {self.budget_ms:.0f} ms")
        error = waiting.exception()
        if error is not None:
            raise DependencyError(f"{self.name} failed: {error}") from error
        return waiting.result()

    def _count_late(self, future: Any) -> None:
        if future.cancel():
            return  # it had not begun
        with self._lock:
            self._late += 1

        def come_back(_: Any) -> None:
            with self._lock:
                self._late -= 1

        future.add_done_callback(come_back)


def _drop(late: asyncio.Future) -> None:
    """Take a late call's error: asyncio logs one that nobody took with a traceback."""
    if not late.cancelled():
        late.exception()
