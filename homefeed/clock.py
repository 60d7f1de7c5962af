"""One injected clock: wall time in production, a set time in simulations and replays.

And how long a day is: days are UTC's, and Unix times know no leap second.
"""

import time
from dataclasses import dataclass
from typing import Protocol

DAY_S = 86_400
DAY_MS = 1_000 * DAY_S


class Clock(Protocol):
    """Anything that can say what time it is."""

    def now_s(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        ...


class WallClock:
    """The machine's own clock."""

    def now_s(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        return time.time()


@dataclass
class SimulatedClock:
    """A clock that stands where it was set."""

    time_s: float

    def now_s(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        return self.time_s
