"""Makes a training set: rows, then the features of each request as of its own moment."""

import dataclasses
import itertools
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from homefeed.artifacts import writing
from homefeed.clock import DAY_S
from homefeed.data.contract import Dataset
from homefeed.data.familiarity import FEATURES, LAST_ACTIONS, REMEMBERED_S, acted_on, familiarity
from homefeed.data.item_stats import ItemStats
from homefeed.data.ranking_rows import RankingRows, rows_from_impressions
from homefeed.data.sampled_rows import CandidateSampling, rows_from_positives
from homefeed.data.sequences import SequenceStore
from homefeed.data.showings import Showings
from homefeed.data.splits import Timeline, window_text
from homefeed.data.thinned_rows import Thinning, thinned, thinning
from homefeed.data.training_set import (
    EVALUATION,
    TRAIN,
    TrainingSet,
    TrainingSetMeta,
    label_hash,
    load_array,
    write_meta,
)
from homefeed.data.vocabulary import Vocabulary
from homefeed.errors import DatasetError
from homefeed.plain_values import above, require_count, seed_number
from homefeed.progress import Progress
from homefeed.schema import IMPRESSIONS

HISTORY = LAST_ACTIONS  # last actions per request
CHUNK_REQUESTS = 16_384
# Of RankingRows, as they are kept; what is computed beside them has files of its own.
REQUEST_COLUMNS = ("user", "time_ms", "surface", "split")
ROW_COLUMNS = ("request", "item", "position", "labels", "weight")


@dataclass(frozen=True, kw_only=True)
class TrainingSetConfig:
    """What goes into a training set."""

    keep_negatives: float = 1.0  # share of the label-free training rows that stay
    max_training_rows: int | None = None  # impressions; above, negatives and requests are thinned
    max_evaluation_rows: int | None = None  # impressions; above, users are drawn
    sampling: CandidateSampling = field(
        default_factory=CandidateSampling
    )  # where the set has no impressions
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("max_training_rows", "max_evaluation_rows"):
            require_count(f"ranker.training_set.{name}", getattr(self, name))
        above("keep_negatives", self.keep_negatives, 0, 1)  # those that stay weigh 1 / this
        seed_number("seed", self.seed)


def build_training_set(
    dataset: Dataset,
    store: SequenceStore,
    stats: ItemStats,
    timeline: Timeline,
    out: Path,
    config: TrainingSetConfig = TrainingSetConfig(),
) -> TrainingSet:
    """Write the training set of ``dataset`` at ``out``, verify it, and open it.

    User vectors are not inside: join them for ``user`` and ``time_ms`` of the result and hand
    them to ``TrainingSet.add_user_vectors``. Raises DatasetError where the windows are empty.
    """
    has_impressions, shares, unmet = dataset.has(IMPRESSIONS), Thinning(), 0
    if has_impressions:
        rows, viewers, shares = _bounded_rows(dataset, store, timeline, config)
    else:
        rows, unmet = rows_from_positives(store, stats, timeline, config.sampling)
    meta = TrainingSetMeta(
        heads=rows.heads,
        stats=stats.names,
        action_types=store.meta.action_types,
        surfaces=store.meta.surfaces,
        negative=dataset.spec.negative,
        item_count=store.meta.item_count,
        timeline=dataclasses.asdict(timeline),
        requests=len(rows.user),
        rows=len(rows.request),
        label_hash=label_hash(rows.request, rows.item, rows.labels),
        has_impressions=has_impressions,
        sampling=None if has_impressions else dataclasses.asdict(config.sampling),
        unmet_positives=unmet,
        thinning=dataclasses.asdict(shares),
        sequences_hash=store.meta.content_hash,
        users_hash=store.meta.users_hash,
        items_hash=store.meta.items_hash,
        dataset_fingerprint=store.meta.dataset_fingerprint,
    )
    with writing(Path(out)) as beside:
        beside.mkdir(parents=True)
        for name in (*REQUEST_COLUMNS, *ROW_COLUMNS):
            np.save(beside / f"{name}.npy", getattr(rows, name))
        _write_actions(beside / "actions.npy", rows, store)
        _write_stats(beside / "stats.npy", rows, stats)
        if has_impressions:
            shown_ms = _last_shown(rows, dataset, viewers, store)
            _write_familiarity(beside, rows, shown_ms, store)
        else:  # a sampled candidate was never met, and a positive often was: no fair comparison
            untold = np.zeros((len(rows.request), len(FEATURES)), np.float32)
            np.save(beside / "familiarity.npy", untold)
        write_meta(beside, meta)
        TrainingSet.open(beside).verify(store)
    return TrainingSet.open(out)


def require_both_windows(training_set: TrainingSet, timeline: Timeline) -> None:
    """DatasetError where there is nothing to train on, or nothing to judge by."""
    windows = {
        (TRAIN, "train on"): (timeline.t0_s, timeline.t1_s),
        (EVALUATION, "judge by"): (timeline.t1_s, timeline.t2_s),
    }
    for (split, purpose), ends_s in windows.items():
        if not (training_set.split == split).any():
            window = window_text(*ends_s)
            raise DatasetError(
                f"no request of the log is left to {purpose}: there is none {window}; give a "
                "longer log, or set sequences.ranker_days and sequences.evaluation_days"
            )


def _bounded_rows(
    dataset: Dataset, store: SequenceStore, timeline: Timeline, config: TrainingSetConfig
) -> tuple[RankingRows, Vocabulary, Thinning]:
    """The impressions that stay within the configured numbers of rows, who saw them, and which
    shares stayed.
    """
    rows, viewers = rows_from_impressions(dataset, store, timeline)
    shares = thinning(
        rows,
        max_training_rows=config.max_training_rows,
        max_evaluation_rows=config.max_evaluation_rows,
        keep_negatives=config.keep_negatives,
    )
    return thinned(rows, shares, config.seed), viewers, shares


def _write_actions(path: Path, rows: RankingRows, store: SequenceStore) -> None:
    """The last available actions of every request, a chunk at a time."""
    count = len(rows.user)
    shape = (count, HISTORY)
    actions = np.lib.format.open_memmap(path, mode="w+", dtype=np.int64, shape=shape)
    progress = Progress("training set: histories", count)
    for first in range(0, count, CHUNK_REQUESTS):
        part = slice(first, first + CHUNK_REQUESTS)
        time_s = rows.time_ms[part] // 1000
        actions[part] = store.last_available(rows.user[part], time_s, HISTORY)
        progress.advance(len(time_s))
    progress.close()
    actions.flush()


def _write_stats(path: Path, rows: RankingRows, stats: ItemStats) -> None:
    """Item statistics of every row, as of the start of its request's day."""
    shape = (len(rows.request), len(stats.names))
    table = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    day = (rows.time_ms // 1000 // DAY_S)[rows.request]  # ascending: requests are in time order
    bounds = np.flatnonzero(np.diff(day, prepend=-1, append=-1))
    for first, last in itertools.pairwise(bounds):
        table[first:last] = stats.as_of(int(day[first]) * DAY_S)[rows.item[first:last]]
    table.flush()


def _last_shown(
    rows: RankingRows, dataset: Dataset, viewers: Vocabulary, store: SequenceStore
) -> np.ndarray:
    """When each row's item was last shown to its viewer before the request, int64 [n] ms."""
    first_ms, last_ms = int(rows.time_ms.min()), int(rows.time_ms.max())
    from_ms = first_ms - 1000 * REMEMBERED_S
    showings = Showings.read(dataset, viewers, store.items, from_ms, last_ms)
    return showings.last_before(rows.viewer[rows.request], rows.item, rows.time_ms[rows.request])


def _write_familiarity(
    folder: Path, rows: RankingRows, shown_ms: np.ndarray, store: SequenceStore
) -> None:
    """What the user had to do with every row's item before, a chunk at a time."""
    count = len(rows.request)
    actions = load_array(folder / "actions.npy")
    table = np.lib.format.open_memmap(
        folder / "familiarity.npy", mode="w+", dtype=np.float32, shape=(count, len(FEATURES))
    )
    for first in range(0, count, CHUNK_REQUESTS):
        part = slice(first, first + CHUNK_REQUESTS)
        request, item = rows.request[part], rows.item[part]
        met, of_row = np.unique(request, return_inverse=True)
        last = actions[met]
        items = np.where(last >= 0, store.item[np.maximum(last, 0)], 0)
        acted = acted_on(items, of_row, item)
        table[part] = familiarity(acted, shown_ms[part], rows.time_ms[request])
    table.flush()
