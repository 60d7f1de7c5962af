"""The rankers' training set: each impression with what was known before its request."""

from pathlib import Path

import numpy as np

from homefeed.data.build_training_set import build_training_set, require_both_windows
from homefeed.data.contract import Dataset
from homefeed.data.item_stats import build_item_stats
from homefeed.data.items import load_items
from homefeed.data.sequences import SequenceStore
from homefeed.data.training_set import TrainingSet
from homefeed.recipes import read_section
from homefeed.report.pieces_training_set import training_set_piece
from homefeed.steps.cuts import recipe_timeline

NOBODY = "s:"  # the typed id of the empty text: no data set can hold it


def training_set_step(
    checked: Path, store_path: Path, sequences: str, ranker: str, out: Path, piece: Path
) -> TrainingSet:
    """Write the training set at ``out``, without user vectors: the feature store joins those."""
    settings = read_section("ranker", ranker)
    store, dataset = SequenceStore.open(store_path), Dataset.open(checked)
    timeline = recipe_timeline(store, read_section("sequences", sequences))
    table = load_items(dataset, store.items)
    stats = build_item_stats(dataset, store, table.created_s)
    made = build_training_set(dataset, store, stats, timeline, out, settings.training_set)
    require_both_windows(made, timeline)
    found = training_set_piece(made, dataset.spec)
    found.save(piece)
    for figure in found.figures:
        print(f"= {figure.name}: {figure.value}  {figure.note}")
    if constant := made.constant_stats():
        print(
            f"= not read by rankers: {', '.join(constant)}: the same in all rows to train on (do "
            "impressions begin less than a day before them?)"
        )
    return made


def typed_requests(training_set: TrainingSet, store_path: Path) -> tuple[list[str], np.ndarray]:
    """Typed users [R] and times int64 [R] in ms of all requests: what is to be joined.

    Users who never acted have index 0 and no id in the vocabulary: they are joined as nobody.
    """
    vocabulary = SequenceStore.open(store_path).users
    typed = np.array([NOBODY, *vocabulary.typed(np.arange(1, vocabulary.size + 1))], object)
    return typed[np.asarray(training_set.user)].tolist(), np.asarray(training_set.time_ms)
