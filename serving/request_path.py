"""The way of one request: assign, read, retrieve, score, respond, log.

Shapes: N candidates, H heads.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from homefeed.data.vocabulary import ExternalId, typed_id
from homefeed.errors import UnknownIdError
from serving.action_path import record
from serving.admission import Admission
from serving.answer import Ranked, answer_items, explanation, exposure
from serving.assignment import assign
from serving.candidates import REQUEST, Candidates, Mix, retrieve
from serving.dependency import DependencyError
from serving.explain import ExplanationStore
from serving.http import Stages
from serving.log_writer import LogWriter
from serving.model_input import score_request
from serving.requests import RankingRequest
from serving.scoring import Scoring
from serving.served import Served, ServedRelease
from serving.settings import Settings
from serving.user_state import UserReads, UserState

# How far an answer fell short, from the least to the most.
NO_REALTIME = "no_realtime_actions"
NO_EMBEDDING = "no_user_embedding"
POPULAR_ITEMS = "popular_items"


class LivePath:
    """One worker's request path; what is served is read once per request and kept for it."""

    def __init__(
        self,
        *,
        settings: Settings,
        served: Callable[[], Served],
        users: UserReads,
        scoring: Scoring,
        writer: LogWriter,
        explanations: ExplanationStore,
    ) -> None:
        self._settings, self._served = settings, served
        self._users, self._scoring = users, scoring
        self._writer, self._explanations = writer, explanations
        self._admission = Admission(settings.scorer_budget_ms)

    async def rank(self, request: RankingRequest, stages: Stages) -> dict[str, Any]:
        """Answer /v1/feed or /v1/rank; the exposure is durable before it returns."""
        with _stage(stages, "assign"):
            user = typed_id(request.user_id)
            assigned = assign(self._served(), user)
            release = assigned.release
        with _stage(stages, "features"):
            state = await self._users.read(
                release.feature_service,
                user,
                request_ms=request.time_ms,
                realtime=release.realtime,
            )
        with _stage(stages, "retrieve"):
            candidates = self._candidates(request, release, state)
        with _stage(stages, "score"):
            ranked = await self._ranked(request, release, state, candidates)
        with _stage(stages, "respond"):
            answer = {
                "request_id": uuid.uuid4().hex,
                "user_id": request.user_id,
                "test": assigned.test,
                "arm": assigned.arm,
                "release": release.version,
                "degraded": ranked.degraded,
                "reasons": list(ranked.reasons),
                "items": answer_items(release, candidates, ranked, request.k),
            }
            shown = exposure(request, user, assigned, answer)
            told = explanation(request, assigned, state, candidates, ranked, answer, stages)
        with _stage(stages, "log"):
            await self._writer.append_exposure(shown, told)
        return answer

    async def record(self, arrived_ms: int, actions: list[Any]) -> dict[str, Any]:
        """Answer /v1/actions."""
        return await record(actions, arrived_ms, self._served().action_types(), self._writer)

    def explain(self, request_id: str) -> dict[str, Any] | None:
        """Answer /v1/explain."""
        return self._explanations.get(request_id)

    def status(self) -> dict[str, Any]:
        """Answer /readyz."""
        return self._served().describe()

    def ready(self) -> bool:
        """Whether there is anything to serve."""
        return self._served().ready

    def _candidates(
        self, request: RankingRequest, release: ServedRelease, state: UserState
    ) -> Candidates:
        if request.candidates is not None:
            items = _known_items(release, request.candidates)
            return Candidates(items, np.full(len(items), REQUEST, dtype=np.uint8))
        mix = Mix(
            count=max(self._settings.candidates, request.k),
            popular_share=self._settings.popular_share,
            recent_share=self._settings.recent_share,
        )
        acted_on = set(release.items.indices_of_typed(state.seen).tolist())
        shown = set(release.items.indices_of_typed(state.hidden).tolist())
        found = retrieve(release, state.vector, acted_on | shown, mix)
        if len(found) < request.k:  # a small catalogue: what was only shown may come back
            found = retrieve(release, state.vector, acted_on, mix)
        return found

    async def _ranked(
        self,
        request: RankingRequest,
        release: ServedRelease,
        state: UserState,
        candidates: Candidates,
    ) -> Ranked:
        """Score what can be scored; name how far the answer falls short."""
        ranked = _by_popularity(release, candidates, state)
        if ranked.degraded == POPULAR_ITEMS or not len(candidates):
            return ranked
        message = score_request(release, state, candidates.items, request.time_ms, request.surface)
        try:
            with self._admission.admitted(len(candidates)):
                heads = await self._scoring.score(message)
        except DependencyError as error:
            reasons = (*ranked.reasons, str(error))
            return replace(ranked, degraded=POPULAR_ITEMS, reasons=reasons)
        score = heads @ release.weights()
        order = np.argsort(-score, kind="stable")
        return replace(ranked, order=order, score=score, heads=heads)


def _by_popularity(release: ServedRelease, candidates: Candidates, state: UserState) -> Ranked:
    """What is answered where nothing can be scored, marked with what the user's state lacks."""
    degraded, reasons = (NO_REALTIME if state.log_failed else None), state.reasons
    if state.vector is None and release.dim:
        degraded = NO_EMBEDDING if state.sequence else POPULAR_ITEMS
        reasons = reasons or ("the user has no vector",)
    order = np.argsort(-release.popularity[candidates.items], kind="stable")
    return Ranked(order=order, degraded=degraded, reasons=reasons)


def _known_items(release: ServedRelease, candidates: tuple[ExternalId, ...]) -> np.ndarray:
    items = np.array([release.items.index(item) for item in candidates], dtype=np.int32)
    unknown = np.flatnonzero(items == 0)
    if len(unknown):
        first = int(unknown[0])
        more = f" ({len(unknown)} candidates are unknown)" if len(unknown) > 1 else ""
        raise UnknownIdError(
            f"candidates[{first}] is item {candidates[first]!r}, which release {release.version} "
            f"does not know{more}; leave it out until the items are embedded again"
        )
    return items


@contextmanager
def _stage(stages: Stages, name: str) -> Iterator[None]:
    start = time.perf_counter()
    try:
        yield
    finally:
        stages[name] = (time.perf_counter() - start) * 1000
