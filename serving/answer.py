"""What one request is told, what is logged of it, and how it is explained.

Shapes: N candidates, H heads.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from homefeed.data.vocabulary import typed_id
from serving.candidates import SOURCES, Candidates
from serving.http import Stages
from serving.logged import Exposure
from serving.requests import RankingRequest
from serving.served import Assigned, ServedRelease
from serving.user_state import UserState


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """Candidates in the order of the answer, and how far the answer falls short."""

    order: np.ndarray  # int [N], places of the candidates, best first
    score: np.ndarray | None = None  # float32 [N] by candidate; None where nothing was scored
    heads: np.ndarray | None = None  # float32 [N, H]
    degraded: str | None = None
    reasons: tuple[str, ...] = ()


def answer_items(
    release: ServedRelease, candidates: Candidates, ranked: Ranked, k: int
) -> list[dict[str, Any]]:
    """The best ``k``: item_id, score (null where nothing was scored), source."""
    items = []
    for place in ranked.order[:k].tolist():
        score = None if ranked.score is None else round(float(ranked.score[place]), 6)
        items.append(
            {
                "item_id": release.items.external(int(candidates.items[place])),
                "score": score,
                "source": SOURCES[candidates.sources[place]],
            }
        )
    return items


def exposure(
    request: RankingRequest, user: str, assigned: Assigned, answer: dict[str, Any]
) -> Exposure:
    """What the event log keeps of an answer."""
    return Exposure(
        request_id=answer["request_id"],
        endpoint=request.endpoint,
        user_id=user,
        time_ms=request.time_ms,
        surface=request.surface,
        test=assigned.test,
        arm=assigned.arm,
        release_version=assigned.release.version,
        release_hash=assigned.release.hash,
        degraded=answer["degraded"],
        items=tuple(
            (typed_id(item["item_id"]), item["score"], item["source"]) for item in answer["items"]
        ),
    )


def explanation(
    request: RankingRequest,
    assigned: Assigned,
    state: UserState,
    candidates: Candidates,
    ranked: Ranked,
    answer: dict[str, Any],
    stages: Stages,
) -> dict[str, Any]:
    """What GET /v1/explain tells of an answer."""
    release = assigned.release
    per_source = np.bincount(candidates.sources, minlength=len(SOURCES)).tolist()
    return {
        "request_id": answer["request_id"],
        "endpoint": request.endpoint,
        "user_id": request.user_id,
        "time_ms": request.time_ms,
        "assignment": {"test": assigned.test, "arm": assigned.arm},
        "release": release.describe(),
        "features": {
            "vector_age_s": state.vector_age_s,
            "watermark": state.watermark,
            "sequence_length": len(state.sequence),
            "merged_from_log": state.merged_from_log,
            "shown_before": len(state.shown_ms),
        },
        "filters": {
            "acted_on": len(state.seen),
            "shown_lately": len(state.hidden),
        },
        "candidates_per_source": dict(zip(SOURCES, per_source, strict=True)),
        "degraded": answer["degraded"],
        "reasons": answer["reasons"],
        "stages_ms": {name: round(spent, 3) for name, spent in stages.items()},
        "candidates": [
            _explained(release, candidates, ranked, place) for place in ranked.order.tolist()
        ],
    }


def _explained(
    release: ServedRelease, candidates: Candidates, ranked: Ranked, place: int
) -> dict[str, Any]:
    told = {
        "item_id": release.items.external(int(candidates.items[place])),
        "source": SOURCES[candidates.sources[place]],
    }
    if ranked.heads is not None:
        scores = [round(float(p), 6) for p in ranked.heads[place]]
        told["heads"] = dict(zip(release.heads, scores, strict=True))
    return told
