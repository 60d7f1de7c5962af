"""Offline rows: dated Parquet parts per view, and the point-in-time join over them.

Feast as it really behaves (0.67, DuckDB): a feature row at exactly the label's time is used, and
a row created later is used too unless told otherwise; here both must be strictly earlier. What
comes back is compared with what went in, row by row: an impression log holds many rows of one
user and one second, and other engines drop them.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from feature_repo.connection import FeastConnection
from feature_repo.definitions import CREATED_TIME, EVENT_TIME, JOIN_KEY, VECTOR, VECTOR_AS_OF
from feature_repo.rows import vectors_of
from homefeed.artifacts import writing
from homefeed.errors import FeatureStoreError

if TYPE_CHECKING:
    from feast import FeatureView

_ROW, _LABELS = "row", "label_hash"


@dataclass(frozen=True)
class PointInTime:
    """User vectors as they stood strictly before each request; R requests."""

    vectors: np.ndarray  # float32 [R, D], zeros where none was available
    found: np.ndarray  # bool [R]
    as_of_s: np.ndarray  # int64 [R], 0 where none was available


def write_part(folder: Path, frame: pl.DataFrame, as_of_s: int, created_s: int) -> bool:
    """Keep a day's rows for point-in-time joins; returns whether anything new was written.

    The same rows of the same day again change nothing. A day published again with a later time of
    creation is kept beside the first: a request in between saw the first. With the same time, as
    the pipelines have it (ADR 0002, point 9), it replaces the first.
    """
    content = _content_hash(frame)
    parts = sorted(
        folder.glob(f"{as_of_s}-*.parquet"), key=lambda path: int(path.stem.split("-")[1])
    )
    if parts and parts[-1].stem.endswith(f"-{content}"):
        return False
    for same in folder.glob(f"{as_of_s}-{created_s}-*.parquet"):
        same.unlink()
    stamped = frame.with_columns(
        pl.from_epoch(pl.lit(time_s), "s").cast(pl.Datetime("us", "UTC")).alias(name)
        for name, time_s in ((EVENT_TIME, as_of_s), (CREATED_TIME, created_s))
    )
    with writing(folder / f"{as_of_s}-{created_s}-{content}.parquet") as beside:
        stamped.write_parquet(beside)
    return True


def point_in_time_vectors(
    connection: FeastConnection,
    view: "FeatureView",
    users: Sequence[str],
    request_time_ms: np.ndarray,
    labels: np.ndarray | None,
) -> PointInTime:
    """Join ``users`` (typed ids, R) at ``request_time_ms`` int64[R] with the vectors of ``view``.

    ``labels`` [R, ...] travel through the join as a hash and are compared afterwards. Raises
    FeatureStoreError where nothing was published, or rows came back lost, doubled or mixed up.
    """
    dim = int(view.tags["dim"])
    if not any((connection.offline / view.name).glob("*.parquet")):
        raise FeatureStoreError(f"nothing was published to {view.name}; publish a snapshot first")
    entities = _entities(users, request_time_ms, labels)
    result = PointInTime(
        np.zeros((len(users), dim), np.float32),
        np.zeros(len(users), bool),
        np.zeros(len(users), np.int64),
    )
    for part in entities.iter_slices(connection.settings.join_rows):
        joined = _joined(connection, view, part)
        _close_engine()
        _require_same_rows(part, joined)
        hits = joined.filter(pl.col(VECTOR).is_not_null())
        rows = hits[_ROW].to_numpy()
        result.vectors[rows] = vectors_of(hits, dim)
        result.found[rows] = True
        result.as_of_s[rows] = hits[VECTOR_AS_OF].to_numpy()
    return result


def _entities(
    users: Sequence[str], request_time_ms: np.ndarray, labels: np.ndarray | None
) -> pl.DataFrame:
    times = np.asarray(request_time_ms, np.int64)
    if len(times) != len(users) or (labels is not None and len(labels) != len(users)):
        raise ValueError(f"{len(users)} users, {len(times)} times, labels of another length")
    if labels is None:
        labels = np.zeros(len(users), np.int8)
    digests = [
        hashlib.blake2b(f"{user} {time} ".encode() + row.tobytes(), digest_size=8).hexdigest()
        for user, time, row in zip(users, times.tolist(), np.asarray(labels), strict=True)
    ]
    strictly_before_us = times * 1_000 - 1  # Feast's own comparison includes equal times
    return pl.DataFrame(
        {
            _ROW: np.arange(len(users), dtype=np.int64),
            _LABELS: digests,
            JOIN_KEY: pl.Series(users, dtype=pl.String),
            EVENT_TIME: pl.Series(strictly_before_us).cast(pl.Datetime("us", "UTC")),
        }
    )


def _joined(connection: FeastConnection, view: "FeatureView", part: pl.DataFrame) -> pl.DataFrame:
    store = connection.store()
    job = store.get_historical_features(
        entity_df=part.to_pandas(),
        features=[f"{view.name}:{VECTOR}", f"{view.name}:{VECTOR_AS_OF}"],
        filter_by_created_timestamp=True,
    )
    try:
        table = job.to_arrow()
    except Exception as error:  # duckdb and ibis errors have no root in common
        raise FeatureStoreError(
            f"the point-in-time join over {view.name} failed: {type(error).__name__}: {error}"
        ) from error
    return pl.DataFrame(pl.from_arrow(table)).sort(_ROW)


def _close_engine() -> None:
    """Drop ibis' DuckDB connection: it keeps every joined table, and complains at exit."""
    import ibis

    ibis.get_backend().disconnect()
    ibis.options.default_backend = None


def _require_same_rows(sent: pl.DataFrame, joined: pl.DataFrame) -> None:
    if joined.height != sent.height:
        raise FeatureStoreError(
            f"the point-in-time join took {sent.height:,} requests and gave {joined.height:,}; "
            "nothing was kept: report this with the versions that `homefeed doctor` prints"
        )
    same = joined.select(_ROW, _LABELS, JOIN_KEY).equals(sent.select(_ROW, _LABELS, JOIN_KEY))
    if not same:
        raise FeatureStoreError(
            "the point-in-time join gave back other labels than it took; nothing was kept: "
            "report this with the versions that `homefeed doctor` prints"
        )


def _content_hash(frame: pl.DataFrame) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for chunk in frame.sort(JOIN_KEY).iter_slices(50_000):
        digest.update(json.dumps(chunk.columns).encode())
        digest.update(chunk.hash_rows(seed=0).to_numpy().tobytes())
    return digest.hexdigest()
