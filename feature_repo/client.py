"""The feature store's client: declare, publish, join in the past, read now.

Times are seconds since epoch UTC and come from the injected clock. Users are typed ids
(``i:17``, ``s:anna``). Readers take no lock and go on while something is published.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from feature_repo.connection import FeastConnection
from feature_repo.definitions import JOIN_KEY, EncoderView, ReleaseService, sequence_view_name
from feature_repo.offline import PointInTime, point_in_time_vectors, write_part
from feature_repo.online import OnlineFeatures, describe, read_online
from feature_repo.read_back import require_sequences, require_vectors
from feature_repo.retiring import IsKept, VectorView, retire, vector_views
from feature_repo.rows import Rows, sequence_rows, vector_rows
from feature_repo.settings import StoreSettings
from feature_repo.writers import delete_others, forget_newer, write_online
from homefeed.artifacts import read_json
from homefeed.clock import Clock, WallClock
from homefeed.release.opened import require_bound

if TYPE_CHECKING:
    from feast import FeatureView


@dataclass(frozen=True, kw_only=True)
class PublishReport:
    """What one publish did."""

    view: str
    as_of_s: int
    users: int
    written: int  # users whose row was written
    kept_newer: int  # users who already had a newer row
    read_back: int  # users read back and found equal
    new_part: bool  # whether offline rows were added (False: published before, or a sequence)
    seconds: float


class FeatureStore:
    """Everything the project does with Feast, below one folder."""

    def __init__(
        self,
        root: Path,
        *,
        settings: StoreSettings | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.connection = FeastConnection(root, settings or StoreSettings())
        self.clock = clock or WallClock()

    # --- declarations ---

    def exists(self) -> bool:
        """Whether anything was ever declared here."""
        return self.connection.exists()

    def apply(
        self,
        encoders: Sequence[EncoderView],
        services: Iterable[ReleaseService] = (),
        logs: Iterable[str] = (),
    ) -> None:
        """Declare live encoders, the feature services of releases, and logs with sequences.

        Adds to what is there; the same again changes nothing. Raises FeatureStoreError where a
        service needs an encoder that is not among ``encoders``.
        """
        self.connection.apply(list(encoders), list(services), list(logs))

    def vector_views(self) -> list[VectorView]:
        """The encoders whose vectors are in the store. FeatureStoreError where there is none."""
        return vector_views(self.connection)

    def retire(self, is_kept: IsKept) -> list[VectorView]:
        """Drop the vectors and services of all encoders that are not to be kept; what was dropped.

        ``is_kept`` is asked under the lock of publishing, so nothing newer is dropped than it saw.
        Again drops nothing. Raises BusyError while another run publishes, FeatureStoreError.
        """
        return retire(self.connection, is_kept)

    # --- publishing ---

    def publish_snapshot(
        self,
        snapshot: Path,
        encoder_hash: str,
        *,
        created_s: int | None = None,
        online: bool = True,
    ) -> PublishReport:
        """Publish a dated snapshot folder, created when its snapshot.json says, if it does.

        Raises ReleaseError for another encoder's snapshot, else as ``publish_user_vectors``.
        """
        meta = read_json(Path(snapshot) / "snapshot.json")
        require_bound(Path(snapshot), meta, encoder_hash)
        created_s = meta.get("created_s") if created_s is None else created_s
        path = Path(snapshot) / "users.parquet"
        return self.publish_user_vectors(
            encoder_hash, path, meta["as_of_s"], created_s=created_s, online=online
        )

    def publish_user_vectors(
        self,
        encoder_hash: str,
        parquet: Path,
        as_of_s: int,
        *,
        created_s: int | None = None,
        online: bool = True,
    ) -> PublishReport:
        """Publish ``user_id``, ``vector`` rows as they stood at ``as_of_s``, online and offline.

        ``created_s`` is when they became readable; without it, now. A backfill passes the time
        at which the daily run would have published them, or no past request could use them, and
        ``online=False`` for all days but the newest, whose rows would be overwritten at once.
        Publishing the same day again changes nothing or, repaired, replaces the day. Raises
        FeatureStoreError (bad rows, or read back differently), BusyError, StorageError.
        """
        view = self.connection.encoder_view(encoder_hash)
        rows = vector_rows(parquet, as_of_s, int(view.tags["dim"]))
        return self._publish(view, rows, created_s, require_vectors if online else None)

    def publish_sequences(
        self,
        frame: pl.DataFrame,
        as_of_s: int,
        watermark: int,
        *,
        log: str = "",
        created_s: int | None = None,
    ) -> PublishReport:
        """Publish the last actions of a log's users (rows.SEQUENCE_SCHEMA, newest first).

        ``watermark`` is the event log's sequence number up to which the log is inside. Online
        only: the past of sequences is the sequence store's, from which training reads them.
        Raises as ``publish_user_vectors`` does.
        """
        view = self.connection.view(sequence_view_name(log))
        length = self.connection.settings.sequence_length
        rows = sequence_rows(frame, as_of_s, watermark, length)
        return self._publish(view, rows, created_s, require_sequences, offline=False)

    def go_back(self, encoder_hashes: Iterable[str], log: str, as_of_s: int) -> None:
        """Forget online rows newer than ``as_of_s``, of these encoders and of this log's users.

        For a log that is served again from its end: newer rows are of days that are undone, hide
        the older ones that are published now, and no request may read them yet. SQLite only.
        """
        views = [self.connection.encoder_view(each) for each in encoder_hashes]
        views.append(self.connection.view(sequence_view_name(log)))
        with self.connection.lock("publish"):
            for view in views:
                forget_newer(self.connection, view, as_of_s)

    def _publish(
        self,
        view: "FeatureView",
        rows: Rows,
        created_s: int | None,
        read_back: Callable[..., int] | None,
        offline: bool = True,
    ) -> PublishReport:
        start = time.perf_counter()
        created_s = int(self.clock.now_s()) if created_s is None else int(created_s)
        settings = self.connection.settings
        with self.connection.lock("publish"):
            self.connection.require_declared(view.name)  # retired while this waited for the lock?
            folder = self.connection.offline / view.name
            written = compared = 0
            if read_back is not None:
                users = rows.frame[JOIN_KEY]
                delete_others(self.connection, view, users, rows.as_of_s)
                batches = rows.batches(settings.batch_rows)
                written = write_online(self.connection, view, batches, rows.as_of_s, created_s)
                compared = read_back(self.connection, view, rows, settings.read_back)
            # Last: an offline row says that the view is published, so online ones are there by now.
            new_part = offline and write_part(folder, rows.frame, rows.as_of_s, created_s)
        return PublishReport(
            view=view.name,
            as_of_s=rows.as_of_s,
            users=rows.frame.height,
            written=written,
            kept_newer=rows.frame.height - written if read_back is not None else 0,
            read_back=compared,
            new_part=new_part,
            seconds=time.perf_counter() - start,
        )

    # --- reading ---

    def read_online(
        self, feature_service: str, user: str, now_s: float | None = None
    ) -> OnlineFeatures:
        """What a request of ``user`` (typed id) at ``now_s`` sees; the clock's now without it.

        Raises FeatureStoreError for an unknown service or a store that does not answer.
        """
        return self.read_online_many(feature_service, [user], now_s)[0]

    def read_online_many(
        self, feature_service: str, users: Sequence[str], now_s: float | None = None
    ) -> list[OnlineFeatures]:
        """``read_online`` for several users in one query per view."""
        now_s = self.clock.now_s() if now_s is None else now_s
        return read_online(self.connection, feature_service, users, now_s)

    def warm_up(self, feature_service: str) -> None:
        """Make the first request as fast as the next: imports, connection, declarations."""
        for _ in range(3):
            self.read_online(feature_service, "s:warm-up")

    def describe_online(
        self, user: str, feature_service: str, now_s: float | None = None
    ) -> dict[str, Any]:
        """What ``homefeed features get`` prints: plain values with ages and versions."""
        features = self.read_online(feature_service, user, now_s)
        return describe(features, self.connection.service_views(feature_service))

    def point_in_time(
        self,
        users: Sequence[str],
        request_time_ms: np.ndarray,
        encoder_hash: str,
        *,
        labels: np.ndarray | None = None,
    ) -> PointInTime:
        """Vectors of ``users`` [R] as they were readable strictly before each request [R].

        A row counts if both its as-of time and its creation are before the request, and it is
        not older than the time to live. Row count and labels are compared around the join.
        """
        view = self.connection.encoder_view(encoder_hash)
        return point_in_time_vectors(self.connection, view, users, request_time_ms, labels)
