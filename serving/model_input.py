"""From a user's raw past to what a release's models read: names become indices."""

from collections.abc import Iterator

import numpy as np

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
    has_vector = state.vector is not None

    def column(values: Iterator, dtype: type) -> np.ndarray:
        return np.fromiter(values, dtype=dtype, count=count)

    return ScoreRequest(
        release=release.version,
        request_time_s=time_ms // 1000,
        surface=release.surfaces.get(surface, 0),
        vector=np.asarray(state.vector if has_vector else np.zeros(release.dim), np.float32),
        vector_age_s=float(state.vector_age_s or 0.0) if has_vector else 0.0,
        items=column((i for i, _ in past), np.int32),
        actions=column((release.action_types.get(a.action_type, 0) for _, a in past), np.uint8),
        surfaces=column((release.surfaces.get(a.surface, 0) for _, a in past), np.uint8),
        times_s=column((a.time_ms // 1000 for _, a in past), np.int64),
        durations_s=column((a.duration_s for _, a in past), np.float32),
        times_known=column((a.time_known for _, a in past), np.bool_),
        candidates=items,
    )
