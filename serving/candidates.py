"""Candidates of one feed: near the user's vector, popular, recent; seen items left out.

Shapes: N candidates wanted, P popular items, R recent items, D vector dimension.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

import numpy as np

SOURCES = ("user_vector", "popular", "recent", "request")
USER_VECTOR, POPULAR, RECENT, REQUEST = range(4)


class NearestItems(Protocol):
    """Searches the items nearest to a vector."""

    def search(
        self, vector: np.ndarray, count: int, *, exclude: Collection[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """vector [D] → item indices int[<=count] not in ``exclude``, best first, and scores."""
        ...


@dataclass(frozen=True, slots=True)
class Candidates:
    """What retrieval found, in the order of its sources."""

    items: np.ndarray  # int32 [N], distinct
    sources: np.ndarray  # uint8 [N], places in SOURCES

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, kw_only=True)
class Mix:
    """How many candidates, and which share is kept for each source that is not personal."""

    count: int
    popular_share: float
    recent_share: float


class Catalogue(Protocol):
    """The items that a release can show."""

    index: NearestItems
    popular: np.ndarray  # int32 [P], best first
    recent: np.ndarray  # int32 [R], newest first


def retrieve(
    catalogue: Catalogue, vector: np.ndarray | None, seen: Collection[int], mix: Mix
) -> Candidates:
    """At most ``mix.count`` distinct unseen items.

    vector [D] or None. The vector's items take what the shares of the others leave; popular
    items fill every gap, then recent ones.
    """
    seen = set(seen)
    taken: dict[int, int] = {}

    def take(items: np.ndarray, source: int, quota: int) -> None:
        left = min(quota, mix.count - len(taken))
        for item in items.tolist():
            if left <= 0:
                return
            if item not in seen and item not in taken:
                taken[item] = source
                left -= 1

    fixed = round(mix.count * mix.popular_share), round(mix.count * mix.recent_share)
    if vector is not None:
        personal = mix.count - sum(fixed)
        nearest, _ = catalogue.index.search(vector, personal, exclude=seen)
        take(nearest, USER_VECTOR, personal)
    take(catalogue.popular, POPULAR, fixed[0])
    take(catalogue.recent, RECENT, fixed[1])
    take(catalogue.popular, POPULAR, mix.count)
    take(catalogue.recent, RECENT, mix.count)
    return Candidates(
        np.fromiter(taken.keys(), dtype=np.int32, count=len(taken)),
        np.fromiter(taken.values(), dtype=np.uint8, count=len(taken)),
    )
