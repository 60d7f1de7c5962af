"""Load a release for serving: its newest snapshot, index, vocabulary and the shape of its models.

Two loaders over one release: ``load_served`` for the CPU service, which holds no model and
computes nothing with torch (opening a release imports it all the same), and ``load_scorer`` for
the side that computes.

Shapes: I items of the vocabulary (row 0 is padding), S statistics, D vector dimension.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from homefeed.artifacts import hash_json, read_json
from homefeed.errors import ArtifactError, ConfigError
from homefeed.plain_values import suggestion
from homefeed.release.ledger import Ledger
from homefeed.release.opened import Release
from homefeed.schema import LEDGER_FILE
from homefeed.snapshots import Snapshot
from serving.ids import IdTable
from serving.served import ServedRelease
from serving.settings import Settings

if TYPE_CHECKING:
    from homefeed.models.scorer import Scorer

_MOST_LISTED = 5_000  # popular and recent items kept: beyond it no feed reaches


def open_ledger(workspace: Path) -> Ledger:
    """The ledger of a workspace; reading it never waits for writers."""
    return Ledger(Path(workspace) / LEDGER_FILE)


def release_key(workspace: Path, version: int) -> str:
    """A name of the release with its newest snapshot: it changes when either does."""
    release = _unverified(workspace, version)
    return f"{release.release_hash}@{snapshot_key(release.newest_snapshot())}"


def snapshot_key(snapshot: Path) -> str:
    """A name of a snapshot and its content: a repaired day keeps its place and its times."""
    content = hash_json(read_json(snapshot / "snapshot.json"))  # it holds every file's hash
    return f"{snapshot.name}+{content}"


def load_served(settings: Settings, version: int) -> ServedRelease:
    """What the CPU service needs of a release. Raises ReleaseError, ArtifactError, ConfigError."""
    from homefeed.models.ranker_description import describe_ranker

    release, snapshot = _opened(settings.workspace, version)
    inputs, items = describe_ranker(release.ranker_path).inputs, snapshot.items
    if items.size != snapshot.meta.item_count:
        raise ArtifactError(
            f"snapshot {snapshot.path} has {snapshot.meta.item_count:,} items, its vocabulary "
            f"{items.size:,}; run `homefeed pipeline run daily`"
        )
    popularity, age = _popularity(snapshot, inputs.stats)
    retrievable = snapshot.index.items
    by_popularity = retrievable[np.argsort(-popularity[retrievable], kind="stable")]
    aged = retrievable[age[retrievable] > 0]  # 0: nobody recorded when it came
    return ServedRelease(
        version=version,
        hash=release.release_hash,
        feature_service=release.feature_service,
        realtime=release.manifest.realtime,
        utility=utility_of(inputs.heads, inputs.negative, settings.utility_weights()),
        heads=inputs.heads,
        snapshot_as_of_s=snapshot.meta.as_of_s,
        dim=snapshot.meta.dim,
        items=IdTable.of(items),
        action_types={name: i for i, name in enumerate(inputs.action_types) if i},
        surfaces={name: i for i, name in enumerate(inputs.surfaces) if i},
        index=snapshot.index,
        popularity=popularity,
        popular=by_popularity[:_MOST_LISTED],
        recent=aged[np.argsort(age[aged], kind="stable")][:_MOST_LISTED],
    )


def load_scorer(settings: Settings, version: int) -> "Scorer":
    """A warm scorer of a release. Raises ReleaseError, ArtifactError, ConfigError."""
    from homefeed.devices import require_device
    from homefeed.models.item_encoders import ItemEncoder
    from homefeed.models.ranker_batch import ItemTables
    from homefeed.models.ranker_description import describe_ranker
    from homefeed.models.scorer import Scorer, ScorerSettings

    require_device(settings.scorer_device, "serving.scorer_device")
    release, snapshot = _opened(settings.workspace, version)
    description = describe_ranker(release.ranker_path)
    rows = snapshot.meta.item_count + 1
    vectors = ItemEncoder.open(release.item_encoder_path).vectors
    kind = description.config.user_vector
    tables = ItemTables(
        vectors=_as_long(vectors, rows),
        match={} if kind == "none" else {kind: snapshot.item_vectors},
    )
    scorer = Scorer.open(
        release.ranker_path,
        tables,
        _stats(snapshot, len(description.inputs.stats)),
        ScorerSettings(
            precision=settings.scorer_precision,
            device=settings.scorer_device,
            threads=settings.scorer_threads,
        ),
    )
    scorer.warm_up()
    return scorer


def utility_of(
    heads: Collection[str], negative: Collection[str], weights: Mapping[str, float]
) -> dict[str, float]:
    """Head → weight in the score that orders a feed.

    ``weights`` are those that were set: a head that they leave out weighs 0. Where none were set,
    a head weighs 1, and -1 where its action type is ``negative`` in the log's own contract. Raises
    ConfigError for a weight of a head that the release does not have: all others would weigh 0 for
    it.
    """
    for head in weights:
        if head not in heads:
            raise ConfigError(
                f"HOMEFEED_UTILITY weighs {head!r}, and the release has no such head"
                f"{suggestion(head, heads)}"
            )
    if weights:
        return {head: weights.get(head, 0.0) for head in heads}
    return {head: -1.0 if head in negative else 1.0 for head in heads}


def _unverified(workspace: Path, version: int) -> Release:
    manifest = open_ledger(workspace).manifest(version)
    return Release(version=version, manifest=manifest, workspace=workspace)


def _opened(workspace: Path, version: int) -> tuple[Release, Snapshot]:
    release = _unverified(workspace, version)
    release.manifest.verify(workspace)
    snapshot = Snapshot.open(release.newest_snapshot(), user_encoder_hash=release.encoder_hash)
    return release, snapshot


def _popularity(snapshot: Snapshot, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Popularity and age (log days) float32 [I+1] of the snapshot's day, from its statistics."""
    stats = _stats(snapshot, len(names))

    def column(name: str) -> np.ndarray:
        found = stats[:, names.index(name)] if name in names else np.zeros(len(stats), np.float32)
        return np.asarray(found, np.float32)

    lately, ever = column("log_positives_7d"), column("log_positives")
    return lately + 0.01 * ever, column("log_age_days")


def _stats(snapshot: Snapshot, count: int) -> np.ndarray:
    stats = snapshot.item_stats
    if stats is None:
        raise ArtifactError(
            f"snapshot {snapshot.path} has no item statistics; run `homefeed pipeline run daily`"
        )
    if stats.shape[1] != count:
        raise ArtifactError(
            f"snapshot {snapshot.path} has {stats.shape[1]} item statistics, the release's ranker "
            f"reads {count}; make the snapshot with the ranker's own heads"
        )
    return stats


def _as_long(vectors: np.ndarray, rows: int) -> np.ndarray:
    """Items that came after the item encoder was fitted have no vector in it: zeros."""
    if len(vectors) >= rows:
        return vectors[:rows]
    missing = np.zeros((rows - len(vectors), vectors.shape[1]), np.float32)
    return np.concatenate([vectors, missing])
