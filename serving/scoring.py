"""What crosses to the scorer, and the two ways there: a second service, or this process.

Only ids and one user's features cross, never item vectors: those lie beside the ranker.
Shapes: L actions of the user (newest first), D dimension of the user's vector, N candidates,
H heads.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreRequest:
    """One user's features and the candidates to score for them."""

    release: int
    request_time_s: int
    surface: int  # index of the request's surface
    vector: np.ndarray  # float32 [D]; zeros where there is none
    vector_age_s: float  # from the vector's as-of time to the request
    items: np.ndarray  # int32 [L], newest first
    actions: np.ndarray  # uint8 [L]
    surfaces: np.ndarray  # uint8 [L]
    times_s: np.ndarray  # int64 [L]
    durations_s: np.ndarray  # float32 [L]
    times_known: np.ndarray  # bool [L]
    candidates: np.ndarray  # int32 [N]

    def to_message(self) -> dict[str, Any]:
        """Plain values and arrays, as they cross between the services."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> "ScoreRequest":
        """The inverse of ``to_message``."""
        return cls(**message)


class Scoring(Protocol):
    """Scores candidates with a release's ranker."""

    async def score(self, request: ScoreRequest) -> np.ndarray:
        """Probabilities float32 [N, H]."""
        ...

    def loaded(self) -> set[int]:
        """Release versions that can be scored now; called from a thread."""
        ...


class InProcessScoring:
    """Scores in a thread of this process: no hop, for machines without a second one to use."""

    def __init__(
        self, score: Callable[[ScoreRequest], np.ndarray], loaded: Callable[[], set[int]]
    ) -> None:
        self._score, self._loaded = score, loaded
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="scorer")

    async def score(self, request: ScoreRequest) -> np.ndarray:
        """Probabilities float32 [N, H]."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._score, request)

    def loaded(self) -> set[int]:
        """Release versions that can be scored now."""
        return self._loaded()


class ServiceScoring:
    """Scores through the second BentoML service."""

    def __init__(self, proxy: Any) -> None:
        self._proxy = proxy

    async def score(self, request: ScoreRequest) -> np.ndarray:
        """Probabilities float32 [N, H]."""
        return await self._proxy.to_async.score(message=request.to_message())

    def loaded(self) -> set[int]:
        """Release versions that the service has loaded; empty while it does not answer."""
        return set(self._proxy.to_sync.loaded())
