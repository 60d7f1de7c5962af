"""The index that positives are ranked against, and the topics of its items.

Shapes: C columns, N items of the vocabulary.
"""

from dataclasses import dataclass

import numpy as np

from homefeed.data.items import ItemTable
from homefeed.data.sequences import SequenceStore

CHUNK_ACTIONS = 1 << 22  # actions looked at at once: bounds memory, not the result
KMEANS_TOPICS = 64
KMEANS_SAMPLE = 100_000  # vectors that the centres are learned from


@dataclass(frozen=True)
class Columns:
    """Items that are scored: the index first, then positives that the index does not hold."""

    items: np.ndarray  # int32 [C]
    num_index: int
    column: np.ndarray  # int64 [N+1]: the column of an item, -1 where it has none


@dataclass(frozen=True)
class Topics:
    """One topic for each item, for the interest entropy."""

    number: np.ndarray  # int32 [N+1]
    source: str  # what the topics are, for the report


def acted_on_items(store: SequenceStore) -> np.ndarray:
    """Items of a SequenceStore that anybody ever acted on: int32 ascending.

    The vocabulary also holds items that were only shown. They are no rivals here: what is asked is
    which of the items that people take a user takes next.
    """
    acted_on = np.zeros(store.meta.item_count + 1, bool)
    for start in range(0, len(store.item), CHUNK_ACTIONS):
        acted_on[store.item[start : start + CHUNK_ACTIONS]] = True
    return np.flatnonzero(acted_on).astype(np.int32)


def sample_index(items: np.ndarray, size: int, seed: int) -> np.ndarray:
    """``size`` of ``items`` at random, or all where there are fewer: int32 ascending."""
    if len(items) <= size:
        return items
    chosen = np.random.default_rng(seed).choice(len(items), size, replace=False)
    return items[np.sort(chosen)]


def columns_for(index: np.ndarray, targets: np.ndarray, num_items: int) -> Columns:
    """The index's columns, followed by those targets that it lacks."""
    extra = np.setdiff1d(targets, index).astype(np.int32)
    items = np.concatenate([index, extra])
    column = np.full(num_items + 1, -1, np.int64)
    column[items] = np.arange(len(items))
    return Columns(items, len(index), column)


def topics_of(item_table: ItemTable, vectors: np.ndarray, *, seed: int = 0) -> Topics:
    """Item categories where the data set has them, else k-means of item vectors [N+1, D]."""
    if len(item_table.topic_names) > 1:
        return Topics(item_table.topic, "first item category")
    filled = np.flatnonzero(np.any(vectors != 0, axis=1)) if vectors.shape[1] else np.array([], int)
    number = np.zeros(len(vectors), np.int32)
    num_topics = min(KMEANS_TOPICS, len(filled))
    if num_topics < 2:
        return Topics(number, "none: no categories and no item vectors")
    from sklearn.cluster import MiniBatchKMeans

    centres = MiniBatchKMeans(num_topics, random_state=seed, n_init=3)
    sample = np.random.default_rng(seed).permutation(filled)[:KMEANS_SAMPLE]
    number[filled] = centres.fit(vectors[np.sort(sample)]).predict(vectors[filled]) + 1
    return Topics(number, f"k-means of item vectors ({num_topics} clusters)")
