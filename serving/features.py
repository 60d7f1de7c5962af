"""Online features through the feature store's client, in the request path's terms."""

from pathlib import Path

from feature_repo.client import FeatureStore
from feature_repo.online import OnlineFeatures, OnlineSequence
from feature_repo.settings import StoreSettings
from homefeed.clock import DAY_S
from homefeed.schema import ActionFlag
from serving.sequence import PastAction
from serving.settings import Settings
from serving.user_state import StoredUser


class OnlineReader:
    """Reads one user's features by an arm's feature service."""

    def __init__(self, root: Path, settings: StoreSettings | None = None) -> None:
        self._store = FeatureStore(root, settings=settings)

    def read(self, feature_service: str, user_id: str, now_s: float) -> StoredUser | None:
        """What a request at ``now_s`` may see; None where the store does not know the user."""
        return stored_user(self._store.read_online(feature_service, user_id, now_s))

    def warm_up(self, feature_service: str) -> None:
        """Pay the imports and the first connection before the first request."""
        self._store.warm_up(feature_service)


def store_settings(settings: Settings) -> StoreSettings:
    """Where a server with these settings reads features: where its pipelines publish them."""
    return StoreSettings(
        online_store=settings.online_store,
        redis=settings.redis,
        registry=settings.feast_registry,
    )


def stored_user(features: OnlineFeatures) -> StoredUser | None:
    """Online features in the request path's terms, the sequence oldest first."""
    if features.vector_as_of_s is None and features.sequence is None:
        return None
    vector = features.vector
    if vector is not None and not vector.any():  # embedded without a usable action
        vector = None
    return StoredUser(
        vector=vector,
        vector_age_s=features.vector_age_s,
        why_no_vector=None if vector is not None else _why_no_vector(features),
        row=() if features.sequence is None else _chronological(features.sequence),
        shown_ms=_shown(features.sequence),
        earlier=() if features.sequence is None else features.sequence.earlier_items,
        watermark=features.watermark,
    )


def _why_no_vector(features: OnlineFeatures) -> str:
    if features.vector is not None:
        return "the user's vector is empty"
    if features.vector_age_s is None:
        return "the feature store has no vector of this user"
    if features.vector_age_s <= 0:
        return "the user's vector was made after this request's time"
    return f"the user's vector is {features.vector_age_s / DAY_S:.1f} days old"


def _shown(sequence: OnlineSequence | None) -> dict[str, int]:
    if sequence is None:
        return {}
    return dict(zip(sequence.shown_items, sequence.shown_ms, strict=True))


def _chronological(sequence: OnlineSequence) -> list[PastAction]:
    columns = (
        sequence.item_ids,
        sequence.action_types,
        sequence.surfaces,
        sequence.times_s.tolist(),
        sequence.durations_s.tolist(),
        sequence.flags.tolist(),
    )
    rows = zip(*(column[::-1] for column in columns), strict=True)
    return [
        PastAction(item, kind, surface, time_s * 1000, duration_s, not flag & _UNTIMED)
        for item, kind, surface, time_s, duration_s, flag in rows
    ]


_UNTIMED = int(ActionFlag.TIME_UNKNOWN)
