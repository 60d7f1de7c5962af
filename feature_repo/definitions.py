"""The declarations: one template for a live encoder's view, one for a log's sequences.

A user vector's view is named by its encoder's hash and a release's feature service pins it, so
two releases live side by side and neither can read the other's vectors. All releases of one log
share its sequences; another log's users may have the same ids, so its sequences are another view.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from homefeed.artifacts import hash_json
from homefeed.errors import FeatureStoreError
from homefeed.release.manifest import SHORT, ReleaseManifest

if TYPE_CHECKING:
    import feast

ENTITY = "user"
JOIN_KEY = "user_id"  # a typed string: "i:17" or "s:anna"
EVENT_TIME = "event_timestamp"  # as-of time: everything in the row was available before it
CREATED_TIME = "created_timestamp"  # when the row could be read: repairs come later
SEQUENCE_VIEWS = "user_sequence_"  # how their names begin
VECTOR_VIEWS = "user_embedding_"

VECTOR = "vector"
VECTOR_AS_OF = "vector_as_of_s"
VECTOR_FEATURES = (VECTOR, VECTOR_AS_OF)

ITEM_IDS, ACTION_TYPES, SURFACES = "item_ids", "action_types", "surfaces"
TIMES, DURATIONS, FLAGS = "times_s", "durations_s", "flags"
SHOWN_ITEMS, SHOWN_TIMES = "shown_items", "shown_ms"
EARLIER_ITEMS = "earlier_items"  # acted on before the sequence
WATERMARK = "watermark"
SEQUENCE_AS_OF = "sequence_as_of_s"
SEQUENCE_LISTS = (ITEM_IDS, ACTION_TYPES, SURFACES, TIMES, DURATIONS, FLAGS)
SHOWN_LISTS = (SHOWN_ITEMS, SHOWN_TIMES)
SEQUENCE_FEATURES = (*SEQUENCE_LISTS, *SHOWN_LISTS, EARLIER_ITEMS, WATERMARK, SEQUENCE_AS_OF)


@dataclass(frozen=True, kw_only=True)
class EncoderView:
    """A live user encoder."""

    hash: str  # the encoder's own hash, 16 hexadecimal digits
    dim: int  # length of its vectors

    @property
    def name(self) -> str:
        """Name of its feature view."""
        return view_name(self.hash)


@dataclass(frozen=True, kw_only=True)
class ReleaseService:
    """A release's feature service: which encoder's vectors and which log's sequences it reads."""

    name: str
    encoder_hash: str
    log: str = ""  # the name of the log; see homefeed.steps.lineage

    @classmethod
    def of(cls, manifest: ReleaseManifest) -> "ReleaseService":
        """The feature service of a release."""
        return cls(
            name=manifest.feature_service,
            encoder_hash=manifest.user_encoder.hash,
            log=manifest.dataset,
        )


def view_name(encoder_hash: str) -> str:
    """Feature view of one user encoder's vectors."""
    return f"{VECTOR_VIEWS}{encoder_hash[:SHORT]}"


def sequence_view_name(log: str) -> str:
    """Feature view of the sequences of one log's users."""
    return f"{SEQUENCE_VIEWS}{hash_json(log)[:SHORT]}"


def declarations(
    encoders: Iterable[EncoderView],
    services: Sequence[ReleaseService],
    logs: Iterable[str],
    offline: Path,
    vector_ttl_s: int,
) -> list:
    """Feast objects for live encoders, releases and logs; ``offline`` holds a folder per view."""
    import feast
    from feast.value_type import ValueType

    user = feast.Entity(name=ENTITY, join_keys=[JOIN_KEY], value_type=ValueType.STRING)
    named = {*logs, *(service.log for service in services)}
    sequences = {log: _sequence_view(log, user, offline) for log in sorted(named)}
    views = {each.hash: _vector_view(each, user, offline, vector_ttl_s) for each in encoders}
    bound = []
    for service in services:
        if service.encoder_hash not in views:
            raise FeatureStoreError(
                f"feature service {service.name} needs the vectors of user encoder "
                f"{service.encoder_hash}, which is not among the live encoders "
                f"({', '.join(views) or 'none'}); apply it together with its encoder"
            )
        pinned = [views[service.encoder_hash], sequences[service.log]]
        bound.append(feast.FeatureService(name=service.name, features=pinned))
    return [user, *sequences.values(), *views.values(), *bound]


def _vector_view(
    encoder: EncoderView, user: "feast.Entity", offline: Path, ttl_s: int
) -> "feast.FeatureView":
    from feast import FeatureView, Field
    from feast.types import Array, Float32, Int64, String

    return FeatureView(
        name=encoder.name,
        entities=[user],
        ttl=timedelta(seconds=ttl_s),  # Feast keeps it offline only; online it is ours to check
        schema=[
            Field(name=JOIN_KEY, dtype=String),
            Field(name=VECTOR, dtype=Array(Float32)),
            Field(name=VECTOR_AS_OF, dtype=Int64),
        ],
        source=_source(encoder.name, offline),
        tags={"encoder_hash": encoder.hash, "dim": str(encoder.dim)},
    )


def _sequence_view(log: str, user: "feast.Entity", offline: Path) -> "feast.FeatureView":
    from feast import FeatureView, Field
    from feast.types import Array, Float32, Int32, Int64, String

    name = sequence_view_name(log)
    types = {
        ITEM_IDS: Array(String),
        ACTION_TYPES: Array(String),
        SURFACES: Array(String),
        TIMES: Array(Int64),
        DURATIONS: Array(Float32),
        FLAGS: Array(Int32),
        SHOWN_ITEMS: Array(String),
        SHOWN_TIMES: Array(Int64),
        EARLIER_ITEMS: Array(String),
        WATERMARK: Int64,
        SEQUENCE_AS_OF: Int64,
    }
    return FeatureView(
        name=name,
        entities=[user],
        ttl=timedelta(0),  # a sequence does not expire: the event log continues it
        schema=[
            Field(name=JOIN_KEY, dtype=String),
            *(Field(name=field, dtype=dtype) for field, dtype in types.items()),
        ],
        source=_source(name, offline),
        tags={"log": log},
    )


def _source(view: str, offline: Path) -> "feast.FileSource":
    from feast import FileSource

    return FileSource(
        name=f"{view}_source",
        path=str(offline / view / "*.parquet"),
        timestamp_field=EVENT_TIME,
        created_timestamp_column=CREATED_TIME,
    )
