"""Refuse early what could not be scored in time: overload is a 429 now, not a timeout later.

The scorer works one request after the other, and its work grows with the candidates. So the time
that a new request will take is foretold from the candidates that are waiting and what a
candidate has cost lately, waiting included.

A scorer that is gone is no overload: nobody is asked to come again, the answers degrade. One
request at a time finds out whether it is back; the others do not wait for it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

from serving.dependency import DependencyError
from serving.requests import RequestError

_WEIGHT = 0.2  # of the newest measurement in the running mean


class Admission:
    """Admits work that is foretold to end within ``budget_ms``; for one event loop."""

    def __init__(self, budget_ms: float, now_s: Callable[[], float] = perf_counter) -> None:
        self.budget_ms, self._now_s = budget_ms, now_s
        self.waiting = 0  # candidates admitted and not scored yet
        self._cost_ms: float | None = None  # of one candidate
        self._lost: DependencyError | None = None  # how the last request to end lost the scorer

    @contextmanager
    def admitted(self, candidates: int) -> Iterator[None]:
        """Hold a place while scoring; RequestError with status 429 where there is none.

        A request that finds nobody waiting is always admitted: only so can a scorer that was
        slow be found to be fast again, or one that was gone be found there. Until then the others
        get the DependencyError that the last one got.
        """
        ahead = self.waiting
        if ahead and self._lost is not None:
            raise DependencyError(f"{self._lost}; another request asks whether it is back")
        foretold_ms = (ahead + candidates) * (self._cost_ms or 0.0)
        if ahead and foretold_ms > self.budget_ms:
            raise RequestError(
                f"overloaded: scoring would take {foretold_ms:.0f} ms, the budget is "
                f"{self.budget_ms:.0f} ms; try again",
                status=429,
            )
        self.waiting += candidates
        start = self._now_s()
        try:
            yield
        except DependencyError as error:
            self._lost = error
            raise
        else:
            self._lost = None
            self._learn((self._now_s() - start) * 1000 / max(ahead + candidates, 1))
        finally:
            self.waiting -= candidates

    def _learn(self, cost_ms: float) -> None:
        before = cost_ms if self._cost_ms is None else self._cost_ms
        self._cost_ms = before + _WEIGHT * (cost_ms - before)
