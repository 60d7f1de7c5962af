"""How a user encoder scores items: dot products, with equal vectors kept exactly equal.

Shapes: B queries, C columns, D dim, G distinct item vectors.
"""

from typing import Protocol

import numpy as np
import torch

from homefeed.data.sequences import SequenceStore
from homefeed.evaluation.index import Columns
from homefeed.models.history import read_histories
from homefeed.models.user_encoders import UserEncoder


class QueryScorer(Protocol):
    """Scores of items for users as they were at given moments; a higher score is better."""

    def scores(self, users: np.ndarray, before_s: np.ndarray) -> np.ndarray:
        """users int32 [B] and before_s int64 [B] -> floats [B, C]."""
        ...


class Model(Protocol):
    """Anything that can be evaluated: an encoder or a baseline."""

    name: str

    def scorer(self, store: SequenceStore, columns: Columns) -> QueryScorer:
        """Make ready to score these columns."""
        ...


class EncoderModel:
    """A user encoder under a name."""

    def __init__(self, encoder: UserEncoder, name: str | None = None) -> None:
        self.encoder, self.name = encoder, name or encoder.kind

    def scorer(self, store: SequenceStore, columns: Columns) -> "EncoderScorer":
        """Gather the columns' item vectors."""
        return EncoderScorer(self.encoder, store, columns)


class EncoderScorer:
    """Embeds histories as they were and multiplies with the item vectors."""

    def __init__(self, encoder: UserEncoder, store: SequenceStore, columns: Columns) -> None:
        self.encoder, self.store = encoder, store
        known = np.asarray(encoder.item_vectors(), np.float32)
        # Items that the vocabulary gained after the fit have no vector: zeros, as in a snapshot.
        vectors = known[np.where(columns.items < len(known), columns.items, 0)]
        distinct, self.group = distinct_rows(vectors)
        self.distinct = torch.from_numpy(distinct)  # (G, D)

    def scores(self, users: np.ndarray, before_s: np.ndarray) -> np.ndarray:
        """Dot products float32 [B, C].

        A product may round the same row differently at different places, which would break ties
        between equal vectors: each distinct vector is multiplied once and its score spread.
        """
        length = self.encoder.history_length
        positions = self.store.last_available(users, before_s, length)
        with torch.inference_mode():
            embedding = self.encoder.embed(read_histories(self.store, positions)).float().cpu()
            products = (embedding @ self.distinct.T).numpy()  # (B, G)
        return products if self.group is None else products[:, self.group]


def distinct_rows(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Distinct rows [G, D] and each row's number [C]; None where all differ."""
    vectors = np.ascontiguousarray(vectors) + np.float32(0)  # -0 becomes 0
    if vectors.shape[1] == 0:
        return vectors[:1], np.zeros(len(vectors), np.int64)
    words = vectors.view(np.uint32).astype(np.uint64)
    factors = np.random.default_rng(0).integers(1, 1 << 63, vectors.shape[1], np.uint64) | 1
    key = np.zeros(len(vectors), np.uint64)
    for column, factor in enumerate(factors):  # a multiply-add hash, wrapping at 64 bits
        key = (key ^ (words[:, column] * factor)) * np.uint64(0x9E3779B97F4A7C15)
        key ^= key >> np.uint64(29)
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    if len(first) == len(vectors):
        return vectors, None
    if not np.array_equal(vectors[first][group], vectors):  # a collision: compare whole rows
        distinct, group = np.unique(vectors, axis=0, return_inverse=True)
        return distinct, group.ravel()
    return vectors[first], group
