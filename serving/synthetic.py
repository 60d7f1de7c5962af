"""A workspace of any size with models that were never trained: for benches and tests of serving.

Everything is written by the code that writes real workspaces (vocabularies, encoders, snapshots,
feature store, manifests, ledger); only the numbers in it are random.

Shapes: I items, U users, D vector dimension, A actions per user.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch

from feature_repo.client import FeatureStore
from feature_repo.definitions import EncoderView, ReleaseService
from homefeed.artifacts import write_json
from homefeed.clock import DAY_S
from homefeed.data.item_stats import stat_names
from homefeed.data.vocabulary import Vocabulary
from homefeed.embedding import UserVectors
from homefeed.models.config import variant
from homefeed.models.item_encoders import ItemEncoder
from homefeed.models.ranker import Ranker
from homefeed.models.ranker_artifact import save_ranker
from homefeed.models.ranker_description import RankerInputs
from homefeed.models.user_encoders import EncoderOrigin, MeanRecentEncoder
from homefeed.release.entries import Action
from homefeed.release.ledger import Ledger
from homefeed.release.manifest import Part, ReleaseManifest
from homefeed.schema import LEDGER_FILE
from homefeed.snapshots import Snapshot, snapshot_path, write_snapshot

ACTION_TYPES = ("", "click", "like", "hide")
SURFACES = ("", "home", "related")
SHOWN = 60  # items that each user was shown lately


@dataclass(frozen=True, kw_only=True)
class SyntheticWorkspace:
    """Sizes of a workspace; users are the integers 1..U, items ``1_000_000 + 1..I``."""

    root: Path
    num_items: int = 300
    num_users: int = 50
    dim: int = 16
    actions_per_user: int = 20
    heads: tuple[str, ...] = ("click", "like")  # of every ranker
    negative: tuple[str, ...] = ("hide",)  # action types that count against an item
    as_of_s: int = 1_700_000_000  # of the snapshot and of the published sequences
    seed: int = 0

    def item_id(self, index: int) -> int:
        """The external id of an item index."""
        return 1_000_000 + index


def write_workspace(
    sizes: SyntheticWorkspace, *, releases: tuple[dict, ...] = ({"realtime": True},)
) -> list[int]:
    """Write encoders, a snapshot, published features and releases; the first becomes champion.

    Each of ``releases`` gives ``realtime`` and, optionally, ``variant`` of its ranker. Returns
    the releases' versions.
    """
    random = np.random.default_rng(sizes.seed)
    items = Vocabulary().extended(pl.Series([sizes.item_id(i + 1) for i in range(sizes.num_items)]))
    users = Vocabulary().extended(pl.Series(range(1, sizes.num_users + 1)))
    vectors = _unit(random.normal(size=(sizes.num_items + 1, sizes.dim)))
    vectors[0] = 0
    item_encoder = ItemEncoder("svd", vectors, sizes.as_of_s, sizes.seed, items.hash)
    item_encoder.save(sizes.root / "item_encoders" / "svd")
    origin = EncoderOrigin(
        items_hash=items.hash,
        item_encoder_hash=item_encoder.hash,
        trained_before_s=sizes.as_of_s,
        action_types=ACTION_TYPES,
        surfaces=SURFACES,
    )
    user_encoder = MeanRecentEncoder(items=vectors, origin=origin)
    user_encoder.save(sizes.root / "user_encoders" / "mean_recent")
    snapshot = _write_snapshot(sizes, random, user_encoder, items, users)
    ledger = Ledger(sizes.root / LEDGER_FILE)
    manifests = [
        _manifest(sizes, i, each, item_encoder, user_encoder, items, users)
        for i, each in enumerate(releases)
    ]
    for version, manifest in enumerate(manifests, start=1):
        ledger.add_release(version, manifest, at_s=sizes.as_of_s)
    _publish(sizes, random, snapshot, manifests, user_encoder)
    promote(sizes.root, 1, at_s=sizes.as_of_s)
    return list(range(1, len(manifests) + 1))


def promote(root: Path, version: int, *, at_s: float) -> None:
    """Make ``version`` the champion in the ledger."""
    ledger = Ledger(root / LEDGER_FILE)
    ledger.append(
        Action.PROMOTE, lambda _: version, at_s=at_s, who="synthetic", reason="a test asked for it"
    )


def _write_snapshot(
    sizes: SyntheticWorkspace,
    random: np.random.Generator,
    encoder: MeanRecentEncoder,
    items: Vocabulary,
    users: Vocabulary,
) -> Snapshot:
    stats = random.exponential(size=(sizes.num_items + 1, len(stat_names(sizes.heads))))
    stats[0] = 0
    source = sizes.root / "item_stats.npy"
    np.save(source, stats.astype(np.float32))
    vector = _unit(random.normal(size=(sizes.num_users, sizes.dim)))
    indices = np.arange(1, sizes.num_users + 1, dtype=np.int32)
    return write_snapshot(
        snapshot_path(sizes.root, encoder.hash, sizes.as_of_s),
        users=UserVectors(indices, vector, sizes.as_of_s),
        typed_users=users.typed(indices),
        item_vectors=encoder.item_vectors(),
        user_encoder_hash=encoder.hash,
        items_hash=items.hash,
        users_hash=users.hash,
        vocabulary_users=users.size,
        item_stats=source,
        items=items,
        created_s=sizes.as_of_s,
    )


def _manifest(
    sizes: SyntheticWorkspace,
    number: int,
    release: dict,
    item_encoder: ItemEncoder,
    user_encoder: MeanRecentEncoder,
    items: Vocabulary,
    users: Vocabulary,
) -> ReleaseManifest:
    """A release with a ranker of its own, random weights."""
    torch.manual_seed(sizes.seed + number)
    inputs = RankerInputs(
        heads=sizes.heads,
        action_types=ACTION_TYPES,
        surfaces=SURFACES,
        stats=stat_names(sizes.heads),
        item_count=sizes.num_items,
        vector_dim=sizes.dim,
        user_vector_dim=sizes.dim,
        negative=sizes.negative,
    )
    config = variant(release.get("variant", "full"), user_vector="mean_recent")
    path = sizes.root / "rankers" / f"ranker-{number}"
    bound = {"user_encoder_hash": user_encoder.hash}
    ranker_hash = save_ranker(Ranker(config, inputs), path, bound_to=bound, training={})
    write_json(path / "note.json", {"number": number})

    def part(folder: str, name: str, content_hash: str) -> Part:
        return Part.of(
            sizes.root / folder, name=name, version=0, hash=content_hash, workspace=sizes.root
        )

    return ReleaseManifest(
        item_encoder=part("item_encoders/svd", "item_encoder", item_encoder.hash),
        user_encoder=part("user_encoders/mean_recent", "user_encoder", user_encoder.hash),
        ranker=part(f"rankers/ranker-{number}", "ranker", ranker_hash),
        preprocessing_hash="synthetic",
        users_hash=users.hash,
        items_hash=items.hash,
        dataset="synthetic",
        dataset_fingerprint="synthetic",
        code_version="synthetic",
        realtime=release["realtime"],
        heads=sizes.heads,
    )


def _publish(
    sizes: SyntheticWorkspace,
    random: np.random.Generator,
    snapshot: Snapshot,
    manifests: list[ReleaseManifest],
    encoder: MeanRecentEncoder,
) -> None:
    store = FeatureStore(sizes.root / "feast")
    services = [ReleaseService.of(manifest) for manifest in manifests]
    store.apply([EncoderView(hash=encoder.hash, dim=sizes.dim)], services)
    store.publish_snapshot(snapshot.path, encoder.hash, created_s=sizes.as_of_s)
    length = sizes.actions_per_user
    drawn = random.integers(1, sizes.num_items + 1, size=(sizes.num_users, length))
    ages = np.sort(random.integers(60, 5 * DAY_S, size=(sizes.num_users, length)), axis=1)
    shown = random.integers(1, sizes.num_items + 1, size=(sizes.num_users, SHOWN))
    frame = pl.DataFrame(
        {
            "user_id": [f"i:{user + 1}" for user in range(sizes.num_users)],
            "item_ids": [[f"i:{sizes.item_id(int(i))}" for i in row] for row in drawn],
            "action_types": [["click"] * length] * sizes.num_users,
            "surfaces": [["home"] * length] * sizes.num_users,
            "times_s": (sizes.as_of_s - ages).tolist(),
            "durations_s": [[1.0] * length] * sizes.num_users,
            "flags": [[1] * length] * sizes.num_users,
            "shown_items": [[f"i:{sizes.item_id(int(i))}" for i in row] for row in shown],
            "earlier_items": [[]] * sizes.num_users,
            "shown_ms": [[1000 * (sizes.as_of_s - 3 * DAY_S)] * SHOWN] * sizes.num_users,
        }
    )
    log = manifests[0].dataset
    store.publish_sequences(frame, sizes.as_of_s, 0, log=log, created_s=sizes.as_of_s)


def _unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(norms, 1e-12)).astype(np.float32)
