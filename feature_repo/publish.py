"""The pipelines' step *publish*: snapshots and sequences into the feature store, read back."""

from collections.abc import Collection, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from feature_repo.client import FeatureStore
from feature_repo.definitions import EncoderView, ReleaseService, view_name
from feature_repo.offline import PointInTime
from feature_repo.settings import StoreSettings
from homefeed.artifacts import read_json, write_json
from homefeed.config import Config
from homefeed.errors import FeatureStoreError, ReleaseError
from homefeed.release.ledger import Ledger
from homefeed.release.manifest import ReleaseManifest
from homefeed.release.opened import Release
from homefeed.schema import LEDGER_FILE

FOLDER = "feast"


def feature_store(config: Config) -> FeatureStore:
    """The feature store of this installation."""
    settings = StoreSettings(
        online_store=config.storage.online_store,
        redis=config.storage.redis,
        registry=config.storage.feast_registry,
    )
    return FeatureStore(config.workspace / FOLDER, settings=settings)


def publish(snapshots: Path, config: Config, out: Path) -> list[dict[str, Any]]:
    """Publish every snapshot that ``snapshots`` lists, oldest first, and the sequences.

    The list's watermark is the event log's sequence number up to which the sequences hold the
    log. Publishing again changes nothing. Raises FeatureStoreError where a sample read back
    differs.
    """
    listed = read_json(snapshots / "snapshots.json")
    found = sorted(listed["snapshots"], key=lambda s: (s["as_of_s"], s["encoder_hash"]))
    if not found:
        raise FeatureStoreError(f"{snapshots} lists no snapshot; run the embedding step again")
    store = feature_store(config)
    views = {s["encoder_hash"]: EncoderView(hash=s["encoder_hash"], dim=s["dim"]) for s in found}
    log = read_json(snapshots / "lineage.json")["log"]
    store.apply(list(views.values()), _services_of(views, config), logs=[log])
    if listed.get("goes_back"):
        store.go_back(views, log, listed["as_of_s"])
    newest = {s["encoder_hash"]: s["as_of_s"] for s in found}  # older days go offline only
    reports = [
        store.publish_snapshot(
            Path(s["path"]),
            s["encoder_hash"],
            created_s=s["created_s"],
            online=s["as_of_s"] == newest[s["encoder_hash"]],
        )
        for s in sorted(found, key=lambda s: s["as_of_s"] != newest[s["encoder_hash"]])
    ]  # what goes online first: after a crash, offline rows must not stand for it
    reports.sort(key=lambda report: report.as_of_s)
    sequences = pl.read_parquet(snapshots / "sequences.parquet", glob=False)
    as_of_s, watermark = listed["as_of_s"], listed["watermark"]
    reports.append(
        store.publish_sequences(sequences, as_of_s, watermark, log=log, created_s=as_of_s)
    )
    rows = [asdict(report) for report in reports]
    write_json(out, rows)
    return rows


def join_vectors(
    snapshots: Path, config: Config, users: list[str], time_ms: np.ndarray
) -> Iterator[tuple[str, PointInTime, str]]:
    """For each encoder: its kind, its vectors before each request [R], and its hash.

    ``users`` [R] are typed ids, ``time_ms`` int64 [R] the requests' times.
    """
    listed = read_json(snapshots / "snapshots.json")["snapshots"]
    store = feature_store(config)
    for kind, encoder_hash in {s["kind"]: s["encoder_hash"] for s in listed}.items():
        yield kind, store.point_in_time(users, time_ms, encoder_hash), encoder_hash


def is_published(encoder_hash: str, config: Config) -> bool:
    """Whether an encoder's vectors are in the store; without Feast, whose import takes seconds.

    Every publish writes offline rows, after all else, and retiring removes them before all else.
    """
    folder = feature_store(config).connection.offline / view_name(encoder_hash)
    return any(folder.glob("*.parquet"))


def publish_release(release: Release, config: Config) -> int:
    """Publish a release's newest snapshot, with its feature service; its as-of time.

    Raises ReleaseError where its encoder has no snapshot, else as ``publish_snapshot`` does.
    """
    snapshot, store = release.newest_snapshot(), feature_store(config)
    meta = read_json(snapshot / "snapshot.json")
    views = {release.encoder_hash: EncoderView(hash=release.encoder_hash, dim=meta["dim"])}
    services = {ReleaseService.of(release.manifest), *_services_of(views, config)}
    store.apply(list(views.values()), sorted(services, key=lambda service: service.name))
    store.publish_snapshot(snapshot, release.encoder_hash)
    return meta["as_of_s"]


def _services_of(views: Collection[str], config: Config) -> list[ReleaseService]:
    """The feature services of all releases of these encoders: they are retired with the views."""
    ledger, found = Ledger(config.workspace / LEDGER_FILE), []
    for version in ledger.versions():
        try:
            manifest = ledger.manifest(version)
        except ReleaseError:
            continue  # of a schema that this program does not read, so nobody serves it
        if manifest.user_encoder.hash in views:
            found.append(ReleaseService.of(manifest))
    return found


def declare_services(manifests: list[ReleaseManifest], snapshots: Path, config: Config) -> None:
    """Declare the feature service of each release beside the view of its user encoder."""
    listed = read_json(snapshots / "snapshots.json")["snapshots"]
    dims = {s["encoder_hash"]: s["dim"] for s in listed}
    views = [
        EncoderView(hash=each, dim=dims[each])
        for each in dict.fromkeys(m.user_encoder.hash for m in manifests)
    ]
    feature_store(config).apply(views, [ReleaseService.of(m) for m in manifests])
