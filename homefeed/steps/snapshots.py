"""Dated snapshots of every live encoder."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from homefeed.artifacts import write_json, writing
from homefeed.clock import DAY_S
from homefeed.config import Config
from homefeed.container import cores
from homefeed.data.contract import Dataset
from homefeed.data.item_stats import ItemStats, build_item_stats
from homefeed.data.items import ItemTable, load_items
from homefeed.data.sequences import SequenceStore
from homefeed.devices import torch_threads
from homefeed.embedding import EmbeddingConfig, UserVectors, embed_day, item_vectors_for
from homefeed.evaluation.cases import known_items
from homefeed.models.config import PINNERFORMER, USER_ENCODERS
from homefeed.models.user_encoders import load_user_encoder
from homefeed.progress import Progress
from homefeed.recipes import read_config, read_section
from homefeed.report.piece import Figure, Piece
from homefeed.snapshots import Snapshot, snapshot_path, write_snapshot
from homefeed.steps.cuts import recipe_timeline
from homefeed.steps.lineage import log_name, moment_of, put_day
from homefeed.steps.sequences import SEQUENCES, write_sequences

MOST_THREADS = 4  # at width 256 a batch's widest tensor is 134 MB: 32,768 tokens x 1,024 floats
LAG_S = DAY_S  # a daily run's vectors are readable a day after their as-of


def midnights(first_s: int, last_s: int) -> list[int]:
    """All midnights UTC in [first_s, last_s]."""
    start = -(-first_s // DAY_S) * DAY_S
    return list(range(start, last_s + 1, DAY_S))


def snapshots_step(
    checked: Path,
    store_path: Path,
    encoders: Path,
    sequences: str,
    config: str,
    out: Path,
    piece: Path,
) -> None:
    """Write the snapshots of the ranker's and the evaluation's days, as daily runs would have.

    The first embeds everybody, each later one the users who acted that day. ``out`` lists them
    and holds the users' last actions as of the newest.
    """
    where = read_config(config)
    store, dataset = SequenceStore.open(store_path), Dataset.open(checked)
    timeline = recipe_timeline(store, read_section("sequences", sequences))
    table = load_items(dataset, store.items)
    stats = build_item_stats(dataset, store, table.created_s)
    # The last action comes a little before the midnight that ends the log.
    span = dataset.spec.span
    last_s = span[1] if dataset.spec.live and span else timeline.t2_s + 1
    days = midnights(timeline.t0_s - 2 * DAY_S, last_s)
    with writing(out) as beside, TemporaryDirectory(dir=out.parent) as daily_stats:
        beside.mkdir()
        stats_of = write_stats(stats, days, Path(daily_stats))

        def snapshots_of(kind: str) -> list[dict]:
            each = encoder_snapshots(encoders / kind, store, table, stats_of, days, where)
            return [{"kind": kind, **described} for described in each]

        made = _side_by_side(snapshots_of)
        write_sequences(beside / SEQUENCES, store, dataset, days[-1])
        # Whoever served `world` after its log was another run's: this one goes back to its end.
        listed = {"snapshots": made, "as_of_s": days[-1], "watermark": 0}
        listed["goes_back"] = dataset.spec.live
        write_json(beside / "snapshots.json", listed)
        log = log_name(checked, store)
        put_day(beside, log=log, as_of_s=days[-1], checked=checked, store=store_path)
    newest = moment_of(days[-1])
    users = made[-1]["users"]
    text = f"{len(made)} dated snapshots of {len(USER_ENCODERS)} encoders"
    figure = Figure(name="snapshots", value=text, note=f"the newest holds {users:,} users")
    Piece(title=f"Embeddings as of {newest}", figures=[figure]).save(piece)
    print(f"= {text}, the newest as of {newest} with {users:,} users")


def _side_by_side(snapshots_of: Callable[[str], list[dict]]) -> list[dict]:
    """All encoders' snapshots: the control's are made while Ray starts for PinnerFormer's."""
    first, *others = USER_ENCODERS
    # Held over both: each would else give back the number of threads that it found.
    with torch_threads(EmbeddingConfig.threads), ThreadPoolExecutor(1) as pool:
        later = [pool.submit(snapshots_of, kind) for kind in others]
        return sum((each.result() for each in later), start=snapshots_of(first))


def write_stats(stats: ItemStats, days: list[int], folder: Path) -> dict[int, Path]:
    """The items' statistics of each day as a file: all encoders' snapshots hold the same."""
    paths = {as_of_s: folder / f"{as_of_s}.npy" for as_of_s in days}
    for as_of_s, path in paths.items():
        np.save(path, stats.as_of(as_of_s))
    return paths


def encoder_snapshots(
    encoder_path: Path,
    store: SequenceStore,
    table: ItemTable,
    stats_of: dict[int, Path],
    days: list[int],
    config: Config,
    yesterday: UserVectors | None = None,
) -> Iterator[dict]:
    """Write one encoder's snapshots for ``days``, each from the one before; describe each."""
    encoder = load_user_encoder(encoder_path)
    vectors = item_vectors_for(encoder, store)  # the store may have gained items since the fit
    has_vector = np.any(vectors != 0, axis=1)
    # Ray pays for a network; a mean of vectors is done before it has started.
    with_ray = encoder.kind == PINNERFORMER and config.training.num_workers > 0
    workers = config.training.embed_workers if with_ray else 0
    on_cuda = config.training.device == "cuda"
    embedding = EmbeddingConfig(
        num_workers=workers,
        at_once=1 if on_cuda else min(cores(), MOST_THREADS),
        gpus_per_worker=1 / workers if on_cuda and workers else 0,  # they share one
        device=config.training.device,
    )
    progress = Progress(f"snapshots of {encoder.kind}", len(days))
    for as_of_s in days:
        users, embedded = embed_day(encoder_path, store, yesterday, as_of_s, embedding)
        known = known_items(store, as_of_s, table)
        path = snapshot_path(config.workspace, encoder.hash, as_of_s)
        snapshot = write_snapshot(
            path,
            users=users,
            typed_users=store.users.typed(users.user),
            item_vectors=vectors,
            user_encoder_hash=encoder.hash,
            items_hash=store.meta.items_hash,
            users_hash=store.meta.users_hash,
            vocabulary_users=store.meta.user_count,
            items=store.items,
            item_stats=stats_of[as_of_s],
            index_items=np.flatnonzero(known & has_vector),
            embedded_users=embedded,
            created_s=as_of_s + LAG_S,
        )
        without = int((known & ~has_vector).sum())
        yield {**_described(snapshot, embedded), "items_without_vector": without}
        yesterday = users
        progress.advance()
    progress.close()


def _described(snapshot: Snapshot, embedded: int) -> dict:
    m = snapshot.meta
    return {
        "encoder_hash": m.user_encoder_hash,
        "dim": m.dim,
        "path": str(snapshot.path),
        "as_of_s": m.as_of_s,
        "created_s": m.created_s,
        "users": m.user_count,
        "embedded": embedded,
    }
