"""What a worker serves at one moment: an immutable value, swapped as a whole.

Shapes: I items of a release's vocabulary, D dimension, P popular, R recent items.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from serving.candidates import NearestItems
from serving.ids import IdTable


@dataclass(frozen=True, kw_only=True)
class ServedRelease:
    """One release with the newest snapshot of its own encoders, ready to answer."""

    version: int
    hash: str
    feature_service: str
    realtime: bool  # whether actions of the log are merged into the sequence
    utility: Mapping[str, float]  # head → weight in the score that orders a feed
    heads: tuple[str, ...]
    snapshot_as_of_s: int
    dim: int  # of user and item vectors; 0 where the release has none
    items: IdTable
    action_types: Mapping[str, int]  # name → index as the models know it
    surfaces: Mapping[str, int]
    index: NearestItems
    popularity: np.ndarray  # float32 [I+1], higher is more popular
    popular: np.ndarray  # int32 [P], best first
    recent: np.ndarray  # int32 [R], newest first

    def weights(self) -> np.ndarray:
        """Utility weights float32 [H] in the order of ``heads``."""
        return np.array([self.utility.get(head, 0.0) for head in self.heads], dtype=np.float32)

    def describe(self) -> dict[str, Any]:
        """What /readyz says of it."""
        return {
            "version": self.version,
            "release": self.hash,
            "feature_service": self.feature_service,
            "realtime": self.realtime,
            "heads": list(self.heads),
            "snapshot_as_of_s": self.snapshot_as_of_s,
            "items": len(self.items),
        }


@dataclass(frozen=True, kw_only=True)
class RunningTest:
    """A running A/B test: who falls into which arm, and which release answers there."""

    name: str
    arms: Mapping[str, int]  # arm → release version
    arm_of: Callable[[str], str | None] = field(compare=False)
    # typed user id → arm; None outside the test's traffic
    definition_hash: str = ""  # a changed definition is another test


@dataclass(frozen=True, kw_only=True)
class Served:
    """Everything that one request looks at; a request keeps the value it began with."""

    champion: int | None = None
    releases: Mapping[int, ServedRelease] = field(default_factory=dict)
    tests: tuple[RunningTest, ...] = ()  # as they were started
    problems: tuple[str, ...] = ()  # what the ledger or a test names and could not be loaded

    @property
    def ready(self) -> bool:
        """Whether there is a champion to answer with."""
        return self.champion is not None

    def describe(self) -> dict[str, Any]:
        """The body of /readyz."""
        champion = self.releases[self.champion].describe() if self.ready else None
        return {
            "ready": self.ready,
            **({} if self.ready else {"reason": self._why_not()}),
            "champion": champion,
            "tests": [
                {
                    "name": test.name,
                    "arms": {
                        arm: self.releases[version].describe() for arm, version in test.arms.items()
                    },
                }
                for test in self.tests
            ],
            "problems": list(self.problems),
        }

    def action_types(self) -> frozenset[str]:
        """The types that the served releases know."""
        return frozenset(
            name for release in self.releases.values() for name in release.action_types if name
        )

    def _why_not(self) -> str:
        if self.problems:
            return self.problems[0]
        return "the ledger names no champion; promote a release (homefeed promote VERSION)"


@dataclass(frozen=True, slots=True)
class Assigned:
    """The release that answers a user, and through which arm."""

    release: ServedRelease
    test: str | None = None
    arm: str | None = None
