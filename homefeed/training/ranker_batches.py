"""Reads requests of a training set as ranker batches: users once, candidates pointing to them.

The time-window mask is applied here: in training, actions of the last T ~ U(0, 24 h) before a
request are taken out of its history, T drawn per request and epoch by key. What is left moves up,
so the first K rows are the newest known actions, as they are at serving. Actions of unknown time
are never hidden.

Shapes: R requests, A actions, n rows, D user vector.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from homefeed.data.sequences import SequenceStore
from homefeed.data.training_set import TrainingSet
from homefeed.errors import ArtifactError
from homefeed.models.ranker_batch import RankerBatch
from homefeed.schema import ActionFlag
from homefeed.training.keyed_random import keyed_uniform

NO_VECTOR = "none"


@dataclass(frozen=True, kw_only=True)
class LabelledBatch:
    """One batch per kind of user vector (all else shared), and what is to be predicted."""

    by_vector: Mapping[str, RankerBatch]
    labels: Tensor  # (n, H) float32
    weight: Tensor  # (n,) float32


class RankerData:
    """A training set together with the store that its actions point into."""

    def __init__(
        self, training_set: TrainingSet, store: SequenceStore, vectors: Sequence[str] = ()
    ) -> None:
        """``vectors`` names the kinds of user vectors that will be read."""
        if training_set.meta.sequences_hash != store.meta.content_hash:
            raise ArtifactError(
                f"training set {training_set.path} points into the store "
                f"{training_set.meta.sequences_hash}, found {store.meta.content_hash}"
            )
        self.set, self.store = training_set, store
        self.time_s = training_set.time_s
        self.vectors = {v: training_set.user_vectors(v) for v in vectors if v != NO_VECTOR}

    def vector_dim(self, kind: str) -> int:
        """Width D of a kind of user vector; 0 for none."""
        return 0 if kind == NO_VECTOR else self.vectors[kind][0].shape[1]

    def lengths(self, requests: np.ndarray) -> np.ndarray:
        """Length int64 [R] of each request's history, nothing hidden."""
        return (np.asarray(self.set.actions[requests]) >= 0).sum(axis=1)

    def hidden(self, requests: np.ndarray, hours: float, *keys: int) -> np.ndarray:
        """How many of each request's newest actions the time window hides, int64 [R]."""
        positions = np.asarray(self.set.actions[requests])
        window_s = keyed_uniform(*keys, requests) * hours * 3600
        bound_s = self.time_s[requests] - window_s
        rows = np.where(positions < 0, 0, positions)
        known = (self.store.flags[rows] & ActionFlag.TIME_UNKNOWN) == 0
        recent = (positions >= 0) & known & (self.store.time_s[rows] > bound_s[:, None])
        return np.cumprod(recent, axis=1).sum(axis=1)  # newest first: the leading ones

    def batch(self, requests: np.ndarray, hidden: np.ndarray | None = None) -> LabelledBatch:
        """All rows of ``requests`` int64 [R]; ``hidden`` int64 [R] newest actions left out."""
        items, actions = self._histories(requests, hidden)
        rows = self.set.rows_of(requests)
        count = self.set.begin[requests + 1] - self.set.begin[requests]
        time_s = self.time_s[requests]
        shared = {
            "items": items,
            "actions": actions,
            "time_s": _tensor(time_s, np.int64),
            "surface": _tensor(self.set.surface[requests], np.int64),
            "request": torch.from_numpy(np.repeat(np.arange(len(requests)), count)),
            "candidates": _tensor(self.set.item[rows], np.int64),
            "stats": _tensor(self.set.stats[rows], np.float32),
            "familiarity": _tensor(self.set.familiarity[rows], np.float32),
        }
        none = {
            "user_vector": torch.zeros(len(requests), 0),
            "vector_age_s": torch.zeros(len(requests)),
        }
        by_vector = {NO_VECTOR: RankerBatch(**shared, **none)}
        for kind, (vectors, as_of_s) in self.vectors.items():
            own = {
                "user_vector": _tensor(vectors[requests], np.float32),
                "vector_age_s": _tensor(time_s - as_of_s[requests], np.float32),
            }
            by_vector[kind] = RankerBatch(**shared, **own)
        return LabelledBatch(
            by_vector=by_vector,
            labels=_tensor(self.set.labels[rows], np.float32),
            weight=_tensor(self.set.weight[rows], np.float32),
        )

    def _histories(self, requests: np.ndarray, hidden: np.ndarray | None) -> tuple[Tensor, Tensor]:
        positions = np.asarray(self.set.actions[requests])
        if hidden is not None:
            column = np.arange(positions.shape[1]) + hidden[:, None]
            inside = column < positions.shape[1]
            moved = np.take_along_axis(positions, np.where(inside, column, 0), axis=1)
            positions = np.where(inside, moved, -1)
        width = int((positions >= 0).sum(axis=1).max(initial=0))
        positions = positions[:, :width]
        present, rows = positions >= 0, np.where(positions < 0, 0, positions)
        items = np.where(present, self.store.item[rows], 0) if width else positions
        actions = np.where(present, self.store.action[rows], 0) if width else positions
        return _tensor(items, np.int64), _tensor(actions, np.int64)


def _tensor(values: np.ndarray, dtype: type) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=dtype))
