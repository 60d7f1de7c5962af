"""Dated snapshots: what is refreshed daily, bound to the hash of the encoder that made it.

A snapshot is a folder ``snapshots/<encoder hash, 8 digits>/<YYYY-MM-DD>``:

users.parquet     user_id (typed), user_index, vector, event_timestamp (as of), created
items.parquet     the item vocabulary: what index a server gives out under which id
item_vectors.npy  float32 [I+1, D]
item_stats.npy    float32 [I+1, S], the ranker's item statistics of that day (where given)
index.*           the item index (homefeed.retrieval)
snapshot.json     as_of_s, user_encoder_hash, items_hash, counts and hashes of the files

Shapes: I items, D dim, U users, S statistics.
"""

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import numpy as np

from homefeed.artifacts import fingerprint, read_json, write_json, writing
from homefeed.clock import WallClock
from homefeed.data.vocabulary import Vocabulary
from homefeed.embedding import UserVectors
from homefeed.errors import ArtifactError, ReleaseError
from homefeed.retrieval import IndexConfig, ItemIndex
from homefeed.schema import SNAPSHOT_VERSION

USERS, ITEM_IDS, ITEM_VECTORS, ITEM_STATS, META = (
    "users.parquet",
    "items.parquet",
    "item_vectors.npy",
    "item_stats.npy",
    "snapshot.json",
)
HASH_DIGITS = 8  # of the encoder's hash in a folder's name


@dataclass(frozen=True, kw_only=True)
class SnapshotMeta:
    """What ``snapshot.json`` says."""

    as_of_s: int  # only actions available by then are in it
    user_encoder_hash: str
    items_hash: str  # of the item vocabulary
    users_hash: str  # of the user vocabulary
    dim: int
    user_count: int
    item_count: int  # of the vocabulary
    index_size: int
    embedded_users: int  # embedded in this run; the others come from the snapshot before
    created_s: int
    vocabulary_users: int  # of the user vocabulary
    files: dict[str, str] = field(default_factory=dict)  # name -> hash of its bytes
    version: int = SNAPSHOT_VERSION


@dataclass(frozen=True)
class Snapshot:
    """An opened snapshot; arrays are read when asked for."""

    path: Path
    meta: SnapshotMeta

    @classmethod
    def open(cls, path: Path, *, user_encoder_hash: str | None = None) -> "Snapshot":
        """Open and verify every file; ``user_encoder_hash`` is what the reader serves with.

        Raises ArtifactError: missing, incomplete, altered, another version; ReleaseError: made
        with another encoder.
        """
        path = Path(path)
        values = read_json(path / META)
        if values.get("version") != SNAPSHOT_VERSION:
            raise ArtifactError(
                f"snapshot {path} has version {values.get('version')}, this code reads "
                f"{SNAPSHOT_VERSION}; run `homefeed pipeline run daily`"
            )
        try:
            meta = SnapshotMeta(**values)
        except TypeError as error:
            raise ArtifactError(
                f"{path / META} is incomplete ({error}); run `homefeed pipeline run daily`"
            ) from None
        if user_encoder_hash is not None and meta.user_encoder_hash != user_encoder_hash:
            raise ReleaseError(
                f"snapshot {path} was made with user encoder {meta.user_encoder_hash}, wanted is "
                f"{user_encoder_hash}; run `homefeed pipeline run daily` for that encoder"
            )
        for name, expected in meta.files.items():
            if (found := fingerprint(path / name)) != expected:
                raise ArtifactError(
                    f"{path / name} has hash {found}, snapshot.json says {expected}; "
                    "run `homefeed pipeline run daily` for that day again"
                )
        return cls(path, meta)

    @cached_property
    def users(self) -> UserVectors:
        """Vectors of all users that ever had an action."""
        import pyarrow.parquet as pq

        return UserVectors.from_arrow(pq.read_table(self.path / USERS), self.meta.as_of_s)

    def numbers_users_as(self, users: Vocabulary) -> bool:
        """Whether ``users`` is the vocabulary that it was made with, or extends it.

        Where not, the same index may be another user: an older log that was exported again, with a
        user who comes earlier, numbers everybody after that one otherwise.
        """
        known = self.meta.vocabulary_users
        return known <= users.size and users.first(known).hash == self.meta.users_hash

    @cached_property
    def items(self) -> Vocabulary:
        """The item vocabulary of the vectors' rows. ArtifactError where it was not written."""
        return Vocabulary.open(self.path / ITEM_IDS)

    @cached_property
    def item_vectors(self) -> np.ndarray:
        """Item vectors float32 [I+1, D]."""
        return np.load(self.path / ITEM_VECTORS)

    @cached_property
    def item_stats(self) -> np.ndarray | None:
        """The day's item statistics float32 [I+1, S]; None where none were given."""
        path = self.path / ITEM_STATS
        return np.load(path) if ITEM_STATS in self.meta.files else None

    @cached_property
    def index(self) -> ItemIndex:
        """The item index over ``item_vectors``."""
        return ItemIndex.open(self.path, self.item_vectors)


def snapshot_path(workspace: Path, user_encoder_hash: str, as_of_s: int) -> Path:
    """The folder of the day, in UTC, that ends with ``as_of_s``: an as-of at midnight names the
    day before it.
    """
    day = datetime.fromtimestamp(as_of_s - 1, UTC).strftime("%Y-%m-%d")
    return Path(workspace) / "snapshots" / user_encoder_hash[:HASH_DIGITS] / day


def write_snapshot(
    path: Path,
    *,
    users: UserVectors,
    typed_users: list[str],
    item_vectors: np.ndarray,
    user_encoder_hash: str,
    items_hash: str,
    users_hash: str,
    vocabulary_users: int,
    items: Vocabulary | None = None,
    item_stats: Path | None = None,
    index_items: np.ndarray | None = None,
    index_config: IndexConfig | None = None,
    embedded_users: int | None = None,
    created_s: int | None = None,
) -> Snapshot:
    """Write a snapshot folder, atomically, replacing one of the same day.

    typed_users: the typed id of each row of ``users``. ``users_hash`` and ``vocabulary_users`` are
    the hash and size of the vocabulary that numbers them. ``items`` is the item vocabulary, which a
    server needs. ``item_stats`` is an .npy file that is copied in. ``index_items`` are the items
    that may be retrieved (by default all with a vector).
    """
    item_vectors = np.ascontiguousarray(item_vectors, np.float32)
    index = ItemIndex.build(item_vectors, index_items, index_config)
    created_s = int(WallClock().now_s()) if created_s is None else created_s
    with writing(Path(path)) as beside:
        beside.mkdir()
        _write_users(beside / USERS, users, typed_users, created_s)
        np.save(beside / ITEM_VECTORS, item_vectors)
        if items is not None:
            items.save(beside / ITEM_IDS)
        if item_stats is not None:
            _copy_stats(Path(item_stats), beside / ITEM_STATS, len(item_vectors))
        index.save(beside)
        meta = SnapshotMeta(
            as_of_s=users.as_of_s,
            user_encoder_hash=user_encoder_hash,
            items_hash=items_hash,
            users_hash=users_hash,
            dim=item_vectors.shape[1],
            user_count=len(users),
            item_count=len(item_vectors) - 1,
            index_size=len(index),
            embedded_users=len(users) if embedded_users is None else embedded_users,
            created_s=created_s,
            vocabulary_users=vocabulary_users,
            files={f.name: fingerprint(f) for f in sorted(beside.iterdir())},
        )
        write_json(beside / META, asdict(meta))
    return Snapshot(Path(path), meta)


def _write_users(path: Path, users: UserVectors, typed: list[str], created_s: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if len(typed) != len(users):
        raise ValueError(f"{len(typed)} typed ids for {len(users)} users")
    table = users.to_arrow()
    moment = pa.timestamp("us", tz="UTC")
    stamps = {"event_timestamp": users.as_of_s, "created": created_s}
    table = table.add_column(0, "user_id", pa.array(typed, pa.string()))
    for name, second in stamps.items():
        values = np.full(len(users), second * 1_000_000, np.int64)
        table = table.append_column(name, pa.array(values).cast(moment))
    pq.write_table(table, path)


def _copy_stats(source: Path, target: Path, rows: int) -> None:
    try:
        stats = np.load(source)
    except (OSError, ValueError, EOFError) as error:
        raise ArtifactError(f"item statistics {source} cannot be read ({error})") from None
    if len(stats) != rows:
        raise ArtifactError(
            f"item statistics {source} have {len(stats):,} rows, the vocabulary with padding has "
            f"{rows:,}; compute them from the same sequence store"
        )
    np.save(target, stats.astype(np.float32))
