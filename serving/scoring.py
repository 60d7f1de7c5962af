"""What crosses to the scorer, and the two ways there: a second service, or this process.

Only ids and one user's features cross, never item vectors: those lie beside the ranker.
Shapes: L actions of the user (newest first), D dimension of the user's vector, N candidates,
H heads.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from serving.dependency import Dependency, DependencyError, Lapses

logger = logging.getLogger("homefeed.serving")

_LOADED_S = 5.0  # for the scorer to say what it has loaded


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreRequest:
    """One user's features and the candidates to score for them."""

    release: int
    request_time_s: int
    surface: int  # index of the request's surface
    vector: np.ndarray | None  # float32 [D]; None where the user has none
    vector_age_s: float  # from the vector's as-of time to the request
    items: np.ndarray  # int32 [L], newest first
    actions: np.ndarray  # uint8 [L]
    candidates: np.ndarray  # int32 [N]
    familiarity: np.ndarray  # float32 [N, F], homefeed.data.familiarity.FEATURES

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
        """Probabilities float32 [N, H]; DependencyError where the scorer is late or fails."""
        ...

    def loaded(self) -> Mapping[int, str]:
        """Release version → the key of what can be scored now; called from a thread."""
        ...


class InProcessScoring:
    """Scores in a thread of this process: no hop, for machines with few cores and no GPU."""

    def __init__(self, rankers: Any, budget_ms: float) -> None:
        self._rankers = rankers
        self._scorer = Dependency("the scorer", budget_ms, threads=1)

    async def score(self, request: ScoreRequest) -> np.ndarray:
        """Probabilities float32 [N, H]."""
        return await self._scorer.call(self._rankers.score, request)

    def loaded(self) -> Mapping[int, str]:
        """Release version → the key of what can be scored now."""
        return self._rankers.loaded()


class ServiceScoring:
    """Scores through the second BentoML service."""

    def __init__(self, proxy: Any, budget_ms: float, loop: asyncio.AbstractEventLoop) -> None:
        self._proxy, self._budget_ms, self._loop = proxy, budget_ms, loop
        self._lapses = Lapses()

    async def score(self, request: ScoreRequest) -> np.ndarray:
        """Probabilities float32 [N, H]."""
        try:
            return await self._score(request)
        except DependencyError as error:
            self._lapses.note(error)
            raise

    async def _score(self, request: ScoreRequest) -> np.ndarray:
        call = self._proxy.to_async.score(message=request.to_message())
        try:
            return await asyncio.wait_for(call, self._budget_ms / 1000)
        except TimeoutError:
            raise DependencyError(
                f"the scorer did not answer within {self._budget_ms:.0f} ms"
            ) from None
        except Exception as error:  # whatever the client raises: the answer degrades
            raise DependencyError(f"the scorer failed: {error!r}") from error

    def loaded(self) -> Mapping[int, str]:
        """Release version → the key of what can be scored now; nothing while it starts."""
        try:
            # The proxy's connections belong to the event loop: ask there, wait here in our thread.
            # It knows its calls only once the second service has told it of them.
            answer = asyncio.run_coroutine_threadsafe(self._proxy.to_async.loaded(), self._loop)
            return {int(version): key for version, key in answer.result(_LOADED_S).items()}
        except Exception as error:  # the second service is starting, or gone
            logger.debug("the scorer does not say what it has loaded: %r", error)
            return {}
