"""The ranker's training set: every feature as it was strictly before its request.

A folder of flat arrays, memory-mapped. Per request: user, time, surface, split, the store
positions of the last actions, and one user vector per encoder. Per row (a candidate of a
request): item, position, labels, weight, the item's statistics of that day, and how familiar the
user is with it.

Shapes: R requests, n rows, H heads, S statistics, F familiarity features, A = 100 actions, D a
user vector's dim.
"""

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from homefeed.artifacts import read_json, write_json, writing
from homefeed.clock import DAY_S
from homefeed.data.ranking_rows import EVALUATION, TRAIN
from homefeed.data.sequences import SequenceStore
from homefeed.data.splits import Timeline
from homefeed.errors import ArtifactError
from homefeed.schema import TRAINING_SET_VERSION

META_FILE = "meta.json"
PER_REQUEST = ("user", "time_ms", "surface", "split", "actions")
PER_ROW = ("request", "item", "position", "labels", "weight", "stats", "familiarity")
CHECK_REQUESTS = 16_384


@dataclass(frozen=True, kw_only=True)
class TrainingSetMeta:
    """``meta.json`` of a training set."""

    heads: tuple[str, ...]
    stats: tuple[str, ...]
    action_types: tuple[str, ...]
    surfaces: tuple[str, ...]
    item_count: int
    timeline: dict[str, int]  # t0_s, t1_s, t2_s
    requests: int
    rows: int
    label_hash: str  # over request, item and labels of every row
    has_impressions: bool  # False: candidates were sampled beside the positives
    sampling: dict[str, Any] | None  # how, where they were
    unmet_positives: int  # left out, where candidates were sampled: nobody had met the item before
    thinning: dict[str, float]  # shares of requests, negatives and users that stayed
    sequences_hash: str  # content hash of the store that ``actions`` point into
    users_hash: str
    items_hash: str
    dataset_fingerprint: str
    negative: tuple[str, ...]  # action types of explicit dislike
    version: int = TRAINING_SET_VERSION


class TrainingSet:
    """Read access; ``TrainingSet.open(path)``. Arrays are memory-mapped."""

    user: np.ndarray  # int32 [R]
    time_ms: np.ndarray  # int64 [R]
    surface: np.ndarray  # uint8 [R]
    split: np.ndarray  # uint8 [R]
    actions: np.ndarray  # int64 [R, A] store positions, newest first, -1 padding
    request: np.ndarray  # int32 [n] ascending
    item: np.ndarray  # int32 [n]
    position: np.ndarray  # int32 [n]
    labels: np.ndarray  # uint8 [n, H]
    weight: np.ndarray  # float32 [n]
    stats: np.ndarray  # float32 [n, S]
    familiarity: np.ndarray  # float32 [n, F], columns of familiarity.FEATURES

    def __init__(self, path: Path, meta: TrainingSetMeta) -> None:
        self.path, self.meta = path, meta
        for name in (*PER_REQUEST, *PER_ROW):
            array = load_array(path / f"{name}.npy")
            expected = meta.requests if name in PER_REQUEST else meta.rows
            if len(array) != expected:
                raise ArtifactError(
                    f"{path}/{name}.npy has {len(array):,} rows, meta.json says {expected:,}; "
                    "make the training set again"
                )
            setattr(self, name, array)
        self.begin = np.searchsorted(self.request, np.arange(meta.requests + 1))  # rows of r

    @classmethod
    def open(cls, path: Path) -> "TrainingSet":
        """Open a folder; ArtifactError where it is missing, truncated or of another version."""
        path = Path(path)
        values = read_json(path / META_FILE)
        if values.get("version") != TRAINING_SET_VERSION:
            raise ArtifactError(
                f"training set {path} has version {values.get('version')}, this code reads "
                f"{TRAINING_SET_VERSION}; make it again"
            )
        try:
            for name in ("heads", "stats", "action_types", "surfaces", "negative"):
                values[name] = tuple(values[name])
            meta = TrainingSetMeta(**values)
        except (KeyError, TypeError) as error:
            raise ArtifactError(
                f"{path / META_FILE} is incomplete ({error}); make the training set again"
            ) from None
        return cls(path, meta)

    @property
    def timeline(self) -> Timeline:
        """t0, t1 and t2 of the set."""
        return Timeline(**self.meta.timeline)

    @property
    def time_s(self) -> np.ndarray:
        """Request times int64 [R] in whole seconds, rounded down."""
        return np.asarray(self.time_ms) // 1000

    def requests_of(self, split: int) -> np.ndarray:
        """Request numbers int64 of TRAIN or EVALUATION, in order of time, empty ones left out."""
        return np.flatnonzero((np.asarray(self.split) == split) & (np.diff(self.begin) > 0))

    def rows_of(self, requests: np.ndarray) -> np.ndarray:
        """Row numbers int64 of some requests, request after request."""
        count = self.begin[requests + 1] - self.begin[requests]
        step = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        return np.repeat(self.begin[requests], count) + step

    def constant_stats(self) -> list[str]:
        """The item statistics that are the same in all rows to train on."""
        rows = np.asarray(self.stats[self.rows_of(self.requests_of(TRAIN))])
        return [self.meta.stats[s] for s in np.flatnonzero(np.ptp(rows, axis=0) == 0)]

    def user_vectors(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Vectors float32 [R, D] and as-of times int64 [R] (0: none) of one encoder."""
        folder = self.path / "user_vectors" / name
        if not folder.is_dir():
            raise ArtifactError(
                f"training set {self.path} holds no user vectors `{name}`; join them with "
                "add_user_vectors"
            )
        return load_array(folder / "vectors.npy"), load_array(folder / "as_of_s.npy")

    def encoder_hash(self, name: str) -> str:
        """Hash of the encoder that made the user vectors ``name``."""
        return read_json(self.path / "user_vectors" / name / META_FILE)["encoder_hash"]

    def add_user_vectors(
        self, name: str, vectors: np.ndarray, as_of_s: np.ndarray, encoder_hash: str
    ) -> None:
        """Keep what the point-in-time join gave for each request.

        vectors float32 [R, D] (zeros where none), as_of_s int64 [R] (0 where none). Raises
        ArtifactError for another number of rows, or a vector that is not a day older than its
        request: so old it is when a daily run has published it.
        """
        if not len(vectors) == len(as_of_s) == self.meta.requests:
            raise ArtifactError(
                f"{len(vectors):,} user vectors and {len(as_of_s):,} times for "
                f"{self.meta.requests:,} requests; the join lost or doubled rows"
            )
        late = np.flatnonzero((as_of_s > 0) & (as_of_s + DAY_S > self.time_s))
        if len(late):
            raise ArtifactError(
                f"user vector `{name}` of request {late[0]} is as of {as_of_s[late[0]]}, not a day "
                f"before the request at {self.time_s[late[0]]}; join older ones"
            )
        with writing(self.path / "user_vectors" / name) as beside:
            beside.mkdir(parents=True)
            np.save(beside / "vectors.npy", np.asarray(vectors, np.float32))
            np.save(beside / "as_of_s.npy", np.asarray(as_of_s, np.int64))
            write_json(beside / META_FILE, {"encoder_hash": encoder_hash})

    def verify(self, store: SequenceStore) -> None:
        """Raise ArtifactError where a feature is not strictly older than its request.

        Checks the windows t0 < t ≤ t1 < t' ≤ t2, every action's availability, the owner of every
        action, the number of rows and the label hash.
        """
        time_s, line = self.time_s, self.timeline
        expected = np.where(np.asarray(self.split) == TRAIN, line.ranker(time_s), False)
        expected |= np.where(np.asarray(self.split) == EVALUATION, line.evaluation(time_s), False)
        if not expected.all():
            bad = int(np.flatnonzero(~expected)[0])
            raise ArtifactError(f"request {bad} at {time_s[bad]} lies outside its window {line}")
        if store.meta.content_hash != self.meta.sequences_hash:
            raise ArtifactError(
                f"training set {self.path} points into the store {self.meta.sequences_hash}, "
                f"found {store.meta.content_hash}; make it again"
            )
        if label_hash(self.request, self.item, self.labels) != self.meta.label_hash:
            raise ArtifactError(f"labels of {self.path} differ from meta.json; make it again")
        for first in range(0, self.meta.requests, CHECK_REQUESTS):
            self._verify_actions(store, slice(first, first + CHECK_REQUESTS))

    def _verify_actions(self, store: SequenceStore, part: slice) -> None:
        actions, user = np.asarray(self.actions[part]), np.asarray(self.user[part])
        request, column = np.nonzero(actions >= 0)
        position = actions[request, column]
        begin = store.start[user[request]]
        foreign = (position < begin) | (position >= begin + store.length[user[request]])
        future = store.available_s(position) >= self.time_s[part][request]
        for bad, reason in ((foreign, "belongs to another user"), (future, "was not there yet")):
            if bad.any():
                first = int(np.flatnonzero(bad)[0])
                raise ArtifactError(
                    f"action {position[first]} of request {request[first] + part.start} {reason}; "
                    "the training set leaks: make it again"
                )


def label_hash(request: np.ndarray, item: np.ndarray, labels: np.ndarray) -> str:
    """16 hexadecimal digits over the rows in order."""
    digest = hashlib.blake2b(digest_size=8)
    for column in (request, item, labels):
        digest.update(np.ascontiguousarray(column))
    return digest.hexdigest()


def write_meta(folder: Path, meta: TrainingSetMeta) -> None:
    """Write ``meta.json``."""
    write_json(folder / META_FILE, dataclasses.asdict(meta))


def load_array(path: Path) -> np.ndarray:
    """Memory-map one array; ArtifactError where it is missing or truncated."""
    try:
        return np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}); make it again") from None
