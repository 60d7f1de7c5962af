"""Scoring one request's candidates with a fitted ranker: the form that serving calls.

Only item indices and one user's features come in; item vectors and statistics lie in memory.
The plain form (``ScorerSettings(exact_algebra=False)``) is the ranker's own ``forward``: the
reference that tests hold the fast form to.

Shapes: N candidates, A actions (at most the ranker's history), D user vector, I items, H heads,
S statistics, F familiarity features.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from homefeed.data.familiarity import FEATURES
from homefeed.errors import ArtifactError
from homefeed.models.ranker import Ranker
from homefeed.models.ranker_artifact import load_ranker
from homefeed.models.ranker_batch import ItemTables, RankerBatch
from homefeed.models.transact_fast import FastTransAct

HISTORY = 100  # last actions that are read; longer histories are cut
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
CHUNK_BYTES = 960_000  # a chunk's rows: 25 x 100 x 96 floats stay in the second-level cache
GPU_CHUNK_BYTES = 64 << 20  # a GPU is filled by all candidates at once
FASTEST = "fastest"  # whichever of the two multiplies faster here, measured when a scorer opens


@dataclass(frozen=True, kw_only=True)
class UserFeatures:
    """One user as a request finds them."""

    request_time_s: int
    items: np.ndarray  # int [A] item index, NEWEST first; 0 = unknown item
    actions: np.ndarray  # int [A] action type; rows with 0 are padding and never count
    surface: int = 0  # index of the request's surface; 0 = unknown
    vector: np.ndarray | None = None  # float32 [D]; None where the user has none
    vector_age_s: float = 0.0  # seconds from the vector's as-of to the request


@dataclass(frozen=True, kw_only=True)
class ScorerSettings:
    """How to compute; never what."""

    precision: str = "float32"  # of TransAct: float32, bfloat16 or fastest
    exact_algebra: bool = True  # False: the plain form
    chunk: int | None = None  # candidates at a time, about; None: what fits the cache (CHUNK_BYTES)
    threads: int = 1  # chunks computed side by side: sooner done where cores are idle
    device: str = "cpu"

    def __post_init__(self) -> None:
        known = (*PRECISIONS, FASTEST)
        if self.precision not in known:
            raise ValueError(f"precision ({self.precision}) must be one of {', '.join(known)}")
        if self.threads < 1:
            raise ValueError(f"threads ({self.threads}) must be at least 1")


class Scorer:
    """Probabilities per head for the candidates of a request."""

    def __init__(
        self,
        ranker: Ranker,
        tables: ItemTables,
        item_stats: np.ndarray,
        settings: ScorerSettings = ScorerSettings(),
    ) -> None:
        """item_stats float32 [I+1, S] in the order of the ranker's ``inputs.stats``."""
        _require_fitting(ranker, tables, item_stats)
        self.settings = settings
        self.ranker = ranker.to(settings.device).eval().bind(tables)
        self.item_stats = torch.from_numpy(np.ascontiguousarray(item_stats, np.float32))
        self.item_stats = self.item_stats.to(settings.device)
        with torch.inference_mode():  # one gather per item instead of one projection
            self.items = ranker.item_features(torch.arange(len(item_stats), device=settings.device))
            self.typical = ranker.typical_item()
        self.pool = ThreadPoolExecutor(settings.threads) if settings.threads > 1 else None
        self.fast: FastTransAct | None = None
        self.chunk = settings.chunk or 1  # the plain form takes all candidates at once
        if ranker.config.sequence and settings.exact_algebra:
            width = ranker.config.transact.dim
            dtype = PRECISIONS.get(settings.precision) or fastest(settings.device, width)
            row_bytes = HISTORY * width * dtype.itemsize
            chunk_bytes = CHUNK_BYTES if settings.device == "cpu" else GPU_CHUNK_BYTES
            self.chunk = settings.chunk or max(1, chunk_bytes // row_bytes)
            self.fast = FastTransAct(ranker.transact, dtype)

    @classmethod
    def open(
        cls,
        ranker_path: Path,
        tables: ItemTables,
        item_stats: np.ndarray,
        settings: ScorerSettings = ScorerSettings(),
    ) -> "Scorer":
        """Load a saved ranker. ArtifactError where it or the tables do not fit together."""
        return cls(load_ranker(ranker_path), tables, item_stats, settings)

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the H columns of ``score``."""
        return self.ranker.inputs.heads

    @torch.inference_mode()
    def score(
        self, user: UserFeatures, candidates: np.ndarray, familiarity: np.ndarray | None = None
    ) -> np.ndarray:
        """Probabilities float32 [N, H] of ``candidates``, item indices int [N].

        ``familiarity`` float32 [N, F] are ``data.familiarity``'s features; None where the user has
        had nothing to do with any of them.
        """
        candidate_N = torch.from_numpy(np.array(candidates, np.int64)).to(self.settings.device)
        batch = self._batch(user, candidate_N, familiarity)
        if self.fast is None:
            return self.ranker(batch).sigmoid().cpu().numpy()
        side = self.ranker.user_side(batch)
        item_NC = self.items[candidate_N]
        with_typical = torch.cat([item_NC, self.typical])
        summary = self.fast(side.history[0], with_typical, self.chunk, self.pool)
        summary = summary[:-1] - summary[-1:]
        relevance_NH = self.ranker.candidate_side(side, batch, item_NC, summary)
        return (side.level + relevance_NH).sigmoid().cpu().numpy()

    def warm_up(self) -> None:
        """Score an invented request, so that the first real one pays no first-call costs."""
        count = max(len(self.items) - 1, 1)
        items = np.arange(HISTORY) % count + 1
        actions = np.ones(HISTORY, np.int64)
        for length in (HISTORY, HISTORY // 2, 1):
            user = UserFeatures(request_time_s=0, items=items[:length], actions=actions[:length])
            self.score(user, np.arange(2 * self.chunk + 1) % count + 1)

    def _batch(
        self, user: UserFeatures, candidate_N: Tensor, familiarity: np.ndarray | None = None
    ) -> RankerBatch:
        inputs, device = self.ranker.inputs, self.settings.device
        if familiarity is None:
            familiarity = np.zeros((len(candidate_N), len(FEATURES)), np.float32)
        actions = np.asarray(user.actions, np.int64)
        kept = np.flatnonzero(actions > 0)[:HISTORY]  # padding is left out, not masked
        # A type that the ranker has not met has no embedding: the row is left out as well.
        kept = kept[actions[kept] < len(inputs.action_types)]
        items = np.asarray(user.items, np.int64)[kept]
        vector = user.vector if user.vector is not None else np.zeros(inputs.user_vector_dim)
        surface = user.surface if user.surface < len(inputs.surfaces) else 0

        def tensor(values: object, dtype: torch.dtype) -> Tensor:
            # A copy: what came from another process lies in memory that torch must not share.
            return torch.as_tensor(np.array(values)[None], dtype=dtype, device=device)

        return RankerBatch(
            items=tensor(np.where(items < len(self.items), items, 0), torch.int64),
            actions=tensor(actions[kept], torch.int64),
            user_vector=tensor(vector, torch.float32),
            vector_age_s=tensor(user.vector_age_s, torch.float32),
            time_s=tensor(user.request_time_s, torch.int64),
            surface=tensor(surface, torch.int64),
            request=torch.zeros(len(candidate_N), dtype=torch.int64, device=device),
            candidates=candidate_N,
            stats=self.item_stats[candidate_N],
            familiarity=torch.from_numpy(np.array(familiarity, np.float32)).to(device),
        )


def fastest(device: str, width: int) -> torch.dtype:
    """The type in which this device multiplies [2400, width] by [width, width] faster.

    Not every processor with bfloat16 instructions gains from them: with AMX or on AMD's Zen 4
    they are twice as fast as float32, without AMX Intel's are slower.
    """
    seconds = {}
    for dtype in PRECISIONS.values():
        rows = torch.randn(2400, width, device=device).to(dtype)
        square = torch.randn(width, width, device=device).to(dtype)
        tries = []
        for _ in range(12):
            start = time.perf_counter()
            rows = rows @ square * width**-0.5
            float(rows[0, 0])  # waits for a device that works on its own
            tries.append(time.perf_counter() - start)
        seconds[dtype] = min(tries)
    return min(seconds, key=seconds.__getitem__)


def _require_fitting(ranker: Ranker, tables: ItemTables, item_stats: np.ndarray) -> None:
    inputs = ranker.inputs
    found = {"item_vectors": tables.vectors.shape[1], "item_stats": item_stats.shape[1]}
    wanted = {"item_vectors": inputs.vector_dim, "item_stats": len(inputs.stats)}
    rows = {"item_vectors": len(tables.vectors), "item_stats": len(item_stats)}
    kind = ranker.config.user_vector
    if ranker.reads_vector:
        if kind not in tables.match:
            raise ArtifactError(f"ranker `{ranker.config.name}` needs item vectors of `{kind}`")
        match = tables.match[kind]
        found[kind], wanted[kind] = match.shape[1], inputs.user_vector_dim
        rows[kind] = len(match)
    for name, dim in found.items():
        if dim != wanted[name]:
            raise ArtifactError(
                f"{name} have {dim} columns, ranker `{ranker.config.name}` was trained with "
                f"{wanted[name]}; serve it with the parts of its own release"
            )
    if len(set(rows.values())) > 1:
        raise ArtifactError(f"item tables differ in length: {rows}; take them of one snapshot")
