"""Batch inference: users' vectors as of a moment, by Ray Data or in a plain loop.

A daily run embeds the users with new actions and merges them over yesterday's table
(PinnerFormer, KDD'22, 3.6). A user's vector depends on nothing but the user's own last actions,
so the merged table equals the one embedded from scratch.

Both ways cut the same users into the same batches, so that their results are equal bit for bit.
Ray is used here and in homefeed/training/ray*.py only.

Shapes: U users, B users of a batch, D dim, A actions.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from homefeed.data.sequences.store import SequenceStore
from homefeed.devices import require_device, torch_threads
from homefeed.errors import ArtifactError
from homefeed.models.history import read_histories
from homefeed.models.user_encoders import UserEncoder, load_user_encoder
from homefeed.progress import Progress
from homefeed.training.ray import ray_session

if TYPE_CHECKING:
    import pyarrow as pa

SCAN_ACTIONS = 1 << 22  # actions looked at at once when new ones are searched


@dataclass(frozen=True)
class UserVectors:
    """A table of user vectors, ascending by user index."""

    user: np.ndarray  # int32 [U] vocabulary indices
    vector: np.ndarray  # float32 [U, D], length one; zero for a user without a usable action
    as_of_s: int  # actions available by then are in them

    def __len__(self) -> int:
        return len(self.user)

    def to_arrow(self) -> "pa.Table":
        """A pyarrow table with user_index int32 and vector, a fixed-size list of float32."""
        import pyarrow as pa

        flat = pa.array(np.ascontiguousarray(self.vector, np.float32).ravel(), pa.float32())
        vector = pa.FixedSizeListArray.from_arrays(flat, self.vector.shape[1])
        return pa.table({"user_index": pa.array(self.user, pa.int32()), "vector": vector})

    @classmethod
    def from_arrow(cls, table: "pa.Table", as_of_s: int) -> "UserVectors":
        """The inverse of ``to_arrow``; rows may come in any order, other columns are ignored."""
        user = table["user_index"].to_numpy().astype(np.int32)
        column = table["vector"].combine_chunks()
        vector = column.flatten().to_numpy().reshape(len(user), column.type.list_size)
        order = np.argsort(user, kind="stable")
        return cls(user[order], vector[order].astype(np.float32, copy=False), as_of_s)


@dataclass(frozen=True, kw_only=True)
class EmbeddingConfig:
    """How a batch inference runs: nothing here changes its result beyond rounding."""

    batch_size: int = 256  # users of one forward pass, at most
    batch_tokens: int = 32_768  # their actions that are read, at most: bounds memory
    num_workers: int = 0  # Ray actors; 0 is a plain loop in this process
    at_once: int = 1  # batches in work at once on this machine: the workers share them
    cpus_per_worker: float = 0.5  # whole CPUs hang: reading tasks need a share as well
    gpus_per_worker: float = 0
    threads: int = 1  # of torch in one worker
    device: str = "cpu"
    object_store_mb: int = 200  # of a Ray that is started for this alone
    actors_from: int = 20_000  # users of a continued day: fewer are done before actors have started

    @property
    def at_once_per_worker(self) -> int:
        """Batches in work at once in one Ray actor."""
        return max(1, self.at_once // max(1, self.num_workers))

    def for_day(self, changed: int) -> "EmbeddingConfig":
        """How to embed the ``changed`` users of a day that continues yesterday's table."""
        if self.num_workers > 1 and changed >= self.actors_from:
            return self
        return replace(self, num_workers=0, gpus_per_worker=0)


def embed_users(
    encoder_path: Path,
    store: SequenceStore,
    users: np.ndarray,
    as_of_s: int,
    config: EmbeddingConfig | None = None,
) -> UserVectors:
    """Embed ``users`` (indices, any order) from the actions available by ``as_of_s``.

    Raises ArtifactError where the encoder was made for another item vocabulary, ConfigError where
    the device is not there.
    """
    config = config or EmbeddingConfig()
    require_device(config.device, "training.device")
    encoder = load_user_encoder(encoder_path, device=config.device)
    require_same_items(encoder, store)
    batches = list(_batches(store, users, encoder.history_length, config))
    if config.num_workers == 0 or not batches:
        pieces = _in_a_loop(encoder, store, batches, as_of_s, config)
    else:
        pieces = _with_ray(encoder_path, store.path, batches, as_of_s, config)
    user = np.concatenate([np.empty(0, np.int32), *batches])
    vector = np.concatenate([np.empty((0, encoder.dim), np.float32), *pieces])
    order = np.argsort(user, kind="stable")
    return UserVectors(user[order], vector[order], as_of_s)


def embed_day(
    encoder_path: Path,
    store: SequenceStore,
    yesterday: UserVectors | None,
    as_of_s: int,
    config: EmbeddingConfig | None = None,
) -> tuple[UserVectors, int]:
    """Today's whole table, and how many users had to be embedded for it.

    Those are the users with an action that became available since ``yesterday`` was made (all
    users, without one), at its midnight itself included: a day is appended from its midnight on,
    so the store of yesterday's table did not hold it. A day that continues yesterday's table asks
    ``config.for_day`` whether its users are worth the actors.
    """
    config = config or EmbeddingConfig()
    after_s = -1 if yesterday is None else yesterday.as_of_s - 1
    changed = users_with_new_actions(store, after_s, as_of_s)
    if yesterday is not None:
        config = config.for_day(len(changed))
    embedded = embed_users(encoder_path, store, changed, as_of_s, config)
    return (embedded if yesterday is None else merge(yesterday, embedded)), len(changed)


def merge(yesterday: UserVectors, today: UserVectors) -> UserVectors:
    """Today's rows over yesterday's: users of either, today's vector where both have one."""
    if yesterday.vector.shape[1] != today.vector.shape[1]:
        raise ArtifactError(
            f"yesterday's vectors have width {yesterday.vector.shape[1]}, today's "
            f"{today.vector.shape[1]}; merge snapshots of one encoder only"
        )
    kept = ~np.isin(yesterday.user, today.user)
    user = np.concatenate([yesterday.user[kept], today.user])
    vector = np.concatenate([yesterday.vector[kept], today.vector])
    order = np.argsort(user, kind="stable")
    return UserVectors(user[order], vector[order], today.as_of_s)


def users_with_new_actions(
    store: SequenceStore, after_s: int, until_s: int, scan_actions: int = SCAN_ACTIONS
) -> np.ndarray:
    """Users int32, ascending, with an action that became available in (after_s, until_s].

    By availability, not by time: a late arrival of last week is new today.
    """
    owners = np.flatnonzero(store.length)
    owners = owners[np.argsort(store.start[owners], kind="stable")]
    ends = store.start[owners] + store.length[owners]
    found = np.zeros(len(store.start), bool)
    for begin in range(0, store.meta.action_count, scan_actions):
        rows = slice(begin, min(begin + scan_actions, store.meta.action_count))
        available_s = store.available_s(rows)
        new = np.flatnonzero((available_s > after_s) & (available_s <= until_s)) + begin
        found[owners[np.searchsorted(ends, new, side="right")]] = True
    return np.flatnonzero(found).astype(np.int32)


def require_same_items(encoder: UserEncoder, store: SequenceStore) -> None:
    """Raise ArtifactError unless the store's item vocabulary is the encoder's, or extends it."""
    origin = encoder.origin.items_hash
    if origin == store.meta.items_hash:
        return
    known = len(encoder.item_vectors()) - 1
    if known > store.meta.item_count or store.items.first(known).hash != origin:
        raise ArtifactError(
            f"user encoder {encoder.hash} was trained with item vocabulary {origin}, the sequence "
            f"store {store.path} has {store.meta.items_hash}, which does not extend it; embed a "
            "store of the encoder's own lineage, or train again"
        )


def item_vectors_for(encoder: UserEncoder, store: SequenceStore) -> np.ndarray:
    """The encoder's item vectors float32 [I+1, D] for all items of the store.

    Items that the vocabulary gained after the fit have zeros: they cannot be retrieved until a
    new encoder is trained.
    """
    require_same_items(encoder, store)
    known = encoder.item_vectors()
    vectors = np.zeros((store.meta.item_count + 1, known.shape[1]), np.float32)
    vectors[: len(known)] = known
    return vectors


def _batches(
    store: SequenceStore, users: np.ndarray, history_length: int, config: EmbeddingConfig
) -> Iterator[np.ndarray]:
    """Users int32 [B] by length of history: equal lengths together, so that padding is short."""
    users = np.unique(np.asarray(users, np.int32))
    length = np.minimum(store.length[users], history_length)
    order = np.argsort(length, kind="stable")
    users, length = users[order], length[order]
    start = 0
    while start < len(users):
        # Ascending lengths: as a batch grows, its last user's length is its longest.
        longest = length[start : start + config.batch_size]
        fits = longest * np.arange(1, len(longest) + 1) <= config.batch_tokens
        stop = start + max(1, int(fits.sum()))
        yield users[start:stop]
        start = stop


def _embed(
    encoder: UserEncoder, store: SequenceStore, users: np.ndarray, as_of_s: int
) -> np.ndarray:
    """Vectors float32 [B, D] of one batch."""
    before_s = np.full(len(users), as_of_s + 1, np.int64)  # available by as_of_s itself counts
    positions = store.last_available(users, before_s, encoder.history_length)
    with torch.inference_mode():
        return encoder.embed(read_histories(store, positions)).float().cpu().numpy()


def _in_a_loop(
    encoder: UserEncoder, store: SequenceStore, batches: list, as_of_s: int, config: EmbeddingConfig
) -> list[np.ndarray]:
    progress = Progress("embedding users", sum(map(len, batches)))
    pieces = []
    at_once = ThreadPoolExecutor(config.at_once)
    with closing(progress), torch_threads(config.threads), at_once as pool:
        for vectors in pool.map(lambda each: _embed(encoder, store, each, as_of_s), batches):
            pieces.append(vectors)
            progress.advance(len(vectors))
    return pieces


class _EmbeddingWorker:
    """A Ray Data actor: opens encoder and store once, then embeds batch after batch."""

    def __init__(self, encoder: Path, store: Path, as_of_s: int, config: EmbeddingConfig) -> None:
        torch.set_num_threads(config.threads)
        self.encoder = load_user_encoder(encoder, device=config.device)
        self.store = SequenceStore.open(store)
        self.embed = lambda users: _embed(self.encoder, self.store, users, as_of_s)
        self.threads = ThreadPoolExecutor(config.at_once_per_worker)

    def __call__(self, block: "pa.Table") -> "pa.Table":
        """Map a table of (batch, users) rows to (batch, vectors as raw bytes)."""
        import pyarrow as pa

        users = [np.array(batch, np.int32) for batch in block["users"].to_pylist()]
        vectors = [found.tobytes() for found in self.threads.map(self.embed, users)]
        # Bytes: Ray writes arrays as an extension type that Parquet readers do not know.
        return pa.table({"batch": block["batch"], "vectors": pa.array(vectors, pa.large_binary())})


def _with_ray(
    encoder_path: Path,
    store_path: Path,
    batches: list[np.ndarray],
    as_of_s: int,
    config: EmbeddingConfig,
) -> list[np.ndarray]:
    """Embed batches side by side; Ray Data keeps no order, so each carries its number."""
    import pyarrow as pa

    users = pa.array(batches, pa.list_(pa.int32()))
    rows = pa.table({"batch": np.arange(len(batches)), "users": users})
    arguments = (Path(encoder_path).resolve(), Path(store_path).resolve(), as_of_s, config)
    with ray_session(num_cpus=max(2, config.num_workers), object_store_mb=config.object_store_mb):
        import ray

        done = (
            ray.data.from_arrow(rows)
            .repartition(min(len(batches), 4 * config.num_workers))
            .map_batches(
                _EmbeddingWorker,
                fn_constructor_args=arguments,
                batch_format="pyarrow",
                batch_size=config.at_once_per_worker,
                compute=ray.data.ActorPoolStrategy(size=config.num_workers),
                num_cpus=config.cpus_per_worker,
                num_gpus=config.gpus_per_worker,
            )
            .to_arrow_refs()
        )
        found = pa.concat_tables(ray.get(done)).sort_by("batch")
    return [
        np.frombuffer(piece.as_buffer(), np.float32).reshape(len(users), -1)
        for piece, users in zip(found["vectors"], batches, strict=True)
    ]
