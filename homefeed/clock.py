"""One injected clock: wall time in production, a set time in simulations and replays."""

import time
from dataclasses import dataclass
from typing import Protocol


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
