"""What one arm reads online about one user, with ages; a missing part is None, never a default."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from feature_repo.connection import FeastConnection
from feature_repo.definitions import (
    ACTION_TYPES,
    DURATIONS,
    EARLIER_ITEMS,
    FLAGS,
    ITEM_IDS,
    SEQUENCE_AS_OF,
    SEQUENCE_FEATURES,
    SEQUENCE_VIEWS,
    SHOWN_ITEMS,
    SHOWN_TIMES,
    SURFACES,
    TIMES,
    VECTOR,
    VECTOR_AS_OF,
    VECTOR_FEATURES,
    WATERMARK,
)

if TYPE_CHECKING:
    from feast import FeatureView


@dataclass(frozen=True, kw_only=True)
class OnlineSequence:
    """A user's last L actions, NEWEST FIRST; ids (typed) and types as the log has them."""

    item_ids: tuple[str, ...]
    action_types: tuple[str, ...]
    surfaces: tuple[str, ...]
    times_s: np.ndarray  # int64 [L]
    durations_s: np.ndarray  # float32 [L]
    flags: np.ndarray  # uint8 [L], bits of schema.ActionFlag
    shown_items: tuple[str, ...] = ()  # typed ids that impressions showed lately, newest first
    shown_ms: tuple[int, ...] = ()  # when each of them was last shown
    earlier_items: tuple[str, ...] = ()  # typed ids of items acted on before these L actions

    def __len__(self) -> int:
        return len(self.item_ids)


@dataclass(frozen=True, kw_only=True)
class OnlineFeatures:
    """One user's features by one feature service."""

    user: str  # typed id
    feature_service: str
    vector: np.ndarray | None  # float32 [D]; None: absent, too old, or not yet valid
    vector_as_of_s: int | None  # of the stored vector, also where it is too old
    vector_age_s: float | None
    sequence: OnlineSequence | None
    sequence_as_of_s: int | None
    sequence_age_s: float | None
    watermark: int  # the event log's sequence number up to which the sequence holds it; 0: none

    @property
    def vector_is_stale(self) -> bool:
        """A vector is stored, but its time to live is over or its time has not come."""
        return self.vector is None and self.vector_as_of_s is not None


def read_online(
    connection: FeastConnection, service: str, users: Sequence[str], now_s: float
) -> list[OnlineFeatures]:
    """Features of ``users`` (typed ids) as a request at ``now_s`` may see them.

    A row counts only if its as-of time is strictly before the request; a vector, only while
    its time to live lasts (Feast checks neither). Raises FeatureStoreError.
    """
    vectors: list[dict[str, Any] | None] = [None] * len(users)
    sequences: list[dict[str, Any] | None] = [None] * len(users)
    for view in connection.service_views(service):
        if view.name.startswith(SEQUENCE_VIEWS):
            sequences = connection.online_rows(view, SEQUENCE_FEATURES, users)
        else:
            vectors = connection.online_rows(view, VECTOR_FEATURES, users)
    ttl_s = connection.settings.vector_ttl_s
    return [
        _features(user, service, vector, sequence, now_s, ttl_s)
        for user, vector, sequence in zip(users, vectors, sequences, strict=True)
    ]


def stored_vectors(
    connection: FeastConnection, view: "FeatureView", users: Sequence[str]
) -> list[tuple[np.ndarray, int] | None]:
    """(vector float32 [D], as-of seconds) as stored, whatever its age; for the read-back."""
    rows = connection.online_rows(view, VECTOR_FEATURES, users)
    return [None if row is None else (_vector(row), row[VECTOR_AS_OF].int64_val) for row in rows]


def stored_sequences(
    connection: FeastConnection, view: "FeatureView", users: Sequence[str]
) -> list[tuple[OnlineSequence, int, int] | None]:
    """(sequence, watermark, as-of seconds) as stored; for the read-back."""
    rows = connection.online_rows(view, SEQUENCE_FEATURES, users)
    return [
        None
        if row is None
        else (_sequence(row), row[WATERMARK].int64_val, row[SEQUENCE_AS_OF].int64_val)
        for row in rows
    ]


def describe(features: OnlineFeatures, views: Sequence["FeatureView"]) -> dict[str, Any]:
    """Plain values for ``homefeed features get``: what an arm reads, with ages and versions."""
    sequences = next((v for v in views if v.name.startswith(SEQUENCE_VIEWS)), None)
    vector_view = next((view for view in views if view is not sequences), None)
    vector, sequence = features.vector, features.sequence
    return {
        "user": features.user,
        "feature_service": features.feature_service,
        "vector": {
            "view": vector_view.name if vector_view else None,
            "encoder_hash": vector_view.tags.get("encoder_hash") if vector_view else None,
            "as_of_s": features.vector_as_of_s,
            "age_s": features.vector_age_s,
            "stale": features.vector_is_stale,
            "values": None if vector is None else vector.tolist(),
        },
        "sequence": {
            "view": sequences.name if sequences else None,
            "as_of_s": features.sequence_as_of_s,
            "age_s": features.sequence_age_s,
            "watermark": features.watermark,
            "length": 0 if sequence is None else len(sequence),
            "earlier_items": 0 if sequence is None else len(sequence.earlier_items),
            "shown_lately": 0 if sequence is None else len(sequence.shown_items),
            "actions": [] if sequence is None else _actions(sequence),
        },
    }


def _features(
    user: str,
    service: str,
    vector: dict[str, Any] | None,
    sequence: dict[str, Any] | None,
    now_s: float,
    ttl_s: int,
) -> OnlineFeatures:
    vector_s = None if vector is None else vector[VECTOR_AS_OF].int64_val
    sequence_s = None if sequence is None else sequence[SEQUENCE_AS_OF].int64_val
    fresh = vector_s is not None and vector_s < now_s <= vector_s + ttl_s
    valid = sequence_s is not None and sequence_s < now_s
    return OnlineFeatures(
        user=user,
        feature_service=service,
        vector=_vector(vector) if fresh else None,
        vector_as_of_s=vector_s,
        vector_age_s=None if vector_s is None else now_s - vector_s,
        sequence=_sequence(sequence) if valid else None,
        sequence_as_of_s=sequence_s,
        sequence_age_s=None if sequence_s is None else now_s - sequence_s,
        watermark=sequence[WATERMARK].int64_val if valid else 0,
    )


def _vector(row: dict[str, Any]) -> np.ndarray:
    return np.array(row[VECTOR].float_list_val.val, dtype=np.float32)


def _sequence(row: dict[str, Any]) -> OnlineSequence:
    return OnlineSequence(
        item_ids=tuple(row[ITEM_IDS].string_list_val.val),
        action_types=tuple(row[ACTION_TYPES].string_list_val.val),
        surfaces=tuple(row[SURFACES].string_list_val.val),
        times_s=np.array(row[TIMES].int64_list_val.val, dtype=np.int64),
        durations_s=np.array(row[DURATIONS].float_list_val.val, dtype=np.float32),
        flags=np.array(row[FLAGS].int32_list_val.val, dtype=np.uint8),
        shown_items=tuple(row[SHOWN_ITEMS].string_list_val.val),
        shown_ms=tuple(row[SHOWN_TIMES].int64_list_val.val),
        earlier_items=tuple(row[EARLIER_ITEMS].string_list_val.val),
    )


def _actions(sequence: OnlineSequence) -> list[dict[str, Any]]:
    columns = zip(
        sequence.item_ids,
        sequence.action_types,
        sequence.surfaces,
        sequence.times_s.tolist(),
        sequence.durations_s.tolist(),
        sequence.flags.tolist(),
        strict=True,
    )
    names = ("item", "action_type", "surface", "time_s", "duration_s", "flags")
    return [dict(zip(names, values, strict=True)) for values in columns]
