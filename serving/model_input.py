"""From a user's raw past to what a release's models read: names become indices."""

import numpy as np

from homefeed.data.familiarity import NEVER_MS, acted_on, familiarity
from serving.scoring import ScoreRequest
from serving.served import ServedRelease
from serving.user_state import UserState


def score_request(
    release: ServedRelease, state: UserState, items: np.ndarray, time_ms: int, surface: str
) -> ScoreRequest:
    """What crosses to the scorer for candidates ``items`` int32 [N].

    Actions on items that the release's vocabulary does not hold are left out.
    """
    known = release.items.indices_of_typed(action.item_id for action in state.sequence)
    past = [(i, a) for i, a in zip(known.tolist(), state.sequence, strict=True) if i][::-1]
    count = len(past)
    types = (release.action_types.get(action.action_type, 0) for _, action in past)
    return ScoreRequest(
        release=release.version,
        request_time_s=time_ms // 1000,
        surface=release.surfaces.get(surface, 0),
        vector=state.vector,
        vector_age_s=float(state.vector_age_s or 0.0),
        items=np.fromiter((item for item, _ in past), np.int32, count),
        actions=np.fromiter(types, np.uint8, count),
        candidates=items,
        familiarity=_familiarity(release, state, items, time_ms),
    )


def _familiarity(
    release: ServedRelease, state: UserState, items: np.ndarray, time_ms: int
) -> np.ndarray:
    """What the user had to do with ``items`` int32 [N] before, float32 [N, F]."""
    recent = release.items.indices_of_typed(action.item_id for action in reversed(state.recent))
    acted = acted_on(recent[None], np.zeros(len(items), np.intp), items)
    known = release.items.indices_of_typed(state.shown_ms)
    shown_of = dict(zip(known.tolist(), state.shown_ms.values(), strict=True))
    shown_ms = np.array([shown_of.get(item, NEVER_MS) for item in items.tolist()], np.int64)
    return familiarity(acted, shown_ms, time_ms)
