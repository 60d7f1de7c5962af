"""Item encoders: one vector per item, made from the past only.

``svd``      truncated SVD of the positive pointwise mutual information of items acted on by the
             same user within a few actions (Levy & Goldberg 2014): an honest baseline
``content``  the item table's content, reduced to ``dim`` where it is wider
``svd+content``  both, side by side
``none``     no columns: the user encoder learns ids alone

Shapes: I items of the vocabulary (row 0 is padding and zero), D dim.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from homefeed.artifacts import hash_json, read_json, write_json, writing
from homefeed.data.contract import Dataset
from homefeed.data.item_content import load_content, unit_rows
from homefeed.data.items import load_items
from homefeed.data.sequences import SequenceStore
from homefeed.errors import ArtifactError, ConfigError
from homefeed.schema import ITEM_ENCODER_VERSION, ActionFlag

ORIGIN = ("kind", "before_s", "seed", "items_hash")  # fields that the hash covers
KINDS = ("svd", "content", "svd+content", "none")
WINDOW = 10  # actions of one user on either side that count as company
SMOOTHING = 0.75  # power of the context counts: tempers the weight of rare items
CHUNK_ACTIONS = 4_000_000  # actions counted at once: bounds memory, not the result


@dataclass(frozen=True)
class ItemEncoder:
    """Vectors of all items, bound by a hash to what they were made from."""

    kind: str
    vectors: np.ndarray  # float32 [I+1, D], rows of length one or zero, row 0 zero
    before_s: int  # nothing later was looked at
    seed: int
    items_hash: str  # of the item vocabulary

    @property
    def dim(self) -> int:
        """Columns of ``vectors``."""
        return self.vectors.shape[1]

    @property
    def hash(self) -> str:
        """16 hexadecimal digits over the origin and every byte of the vectors."""
        digest = hashlib.blake2b(np.ascontiguousarray(self.vectors).tobytes(), digest_size=8)
        return hash_json([ITEM_ENCODER_VERSION, self._origin(), digest.hexdigest()])

    def _origin(self) -> dict:
        plain = {name: getattr(self, name) for name in ORIGIN}
        return plain | {"shape": list(self.vectors.shape)}

    def save(self, path: Path) -> None:
        """Write a folder, atomically."""
        with writing(path) as beside:
            beside.mkdir()
            np.save(beside / "vectors.npy", self.vectors)
            described = {"version": ITEM_ENCODER_VERSION, "hash": self.hash, **self._origin()}
            write_json(beside / "item_encoder.json", described)

    @classmethod
    def open(cls, path: Path) -> "ItemEncoder":
        """Read what ``save`` wrote; ArtifactError where missing, altered or of another version."""
        path = Path(path)
        described = read_json(path / "item_encoder.json")
        if described.get("version") != ITEM_ENCODER_VERSION:
            raise ArtifactError(
                f"item encoder {path} has version {described.get('version')}, this code reads "
                f"version {ITEM_ENCODER_VERSION}; fit it again"
            )
        try:
            vectors = np.load(path / "vectors.npy")
            encoder = cls(vectors=vectors, **{name: described[name] for name in ORIGIN})
        except (OSError, ValueError, EOFError, KeyError) as error:
            raise ArtifactError(
                f"item encoder {path} cannot be read ({error}); fit it again"
            ) from None
        if encoder.hash != described.get("hash"):
            raise ArtifactError(
                f"item encoder {path} has hash {encoder.hash}, its description says "
                f"{described.get('hash')}; fit it again"
            )
        return encoder


def fit_item_encoder(
    kind: str,
    store: SequenceStore,
    dataset: Dataset,
    before_s: int,
    dim: int = 64,
    seed: int = 0,
) -> ItemEncoder:
    """Make the vectors of all items of ``store`` from actions that had arrived by ``before_s``.

    ``svd+content`` has twice ``dim`` columns. Raises ConfigError for an unknown kind.
    """
    if kind not in KINDS:
        raise ConfigError(f"unknown item encoder `{kind}`; choose one of {', '.join(KINDS)}")
    parts = []
    if "svd" in kind:
        parts.append(_svd_vectors(store, before_s, dim, seed))
    if "content" in kind:
        parts.append(_content_vectors(dataset, store, before_s, dim, seed))
    vectors = np.concatenate(parts, axis=1) if parts else np.zeros((store.meta.item_count + 1, 0))
    vectors = unit_rows(vectors.astype(np.float32))
    return ItemEncoder(
        kind=kind, vectors=vectors, before_s=before_s, seed=seed, items_hash=store.meta.items_hash
    )


def _content_vectors(
    dataset: Dataset, store: SequenceStore, before_s: int, dim: int, seed: int
) -> np.ndarray:
    from sklearn.decomposition import TruncatedSVD

    content = load_content(dataset, store.items, before_s=before_s)
    if content.shape[1] <= dim:
        return unit_rows(content)
    old = load_items(dataset, store.items).old(before_s)
    if not old.any():
        return np.zeros((len(content), dim), np.float32)
    axes = TruncatedSVD(min(dim, int(old.sum())), random_state=seed).fit(content[old])
    return unit_rows(axes.transform(content).astype(np.float32))


def _svd_vectors(store: SequenceStore, before_s: int, dim: int, seed: int) -> np.ndarray:
    """U sqrt(S) of the PPMI matrix [I+1, dim]; items never acted on stay zero."""
    from sklearn.utils.extmath import randomized_svd

    num_items = store.meta.item_count
    pairs = cooccurrence(store, before_s)
    vectors = np.zeros((num_items + 1, dim), np.float32)
    association = ppmi(pairs)
    seen = np.flatnonzero(np.diff(association.indptr))
    rank = min(dim, len(seen))
    if rank == 0:
        return vectors
    left, strength, _ = randomized_svd(association[seen][:, seen], rank, random_state=seed)
    vectors[seen, :rank] = left * np.sqrt(strength)
    return unit_rows(vectors)


def cooccurrence(
    store: SequenceStore, before_s: int, window: int = WINDOW, chunk_actions: int = CHUNK_ACTIONS
) -> sparse.csr_matrix:
    """Symmetric counts [I+1, I+1]: 1/lag for two actions of one user, lag <= window apart.

    Explicit dislikes, and actions that had not ended and arrived by ``before_s``, are left out
    before lags are counted; an item is no company for itself.
    """
    size = store.meta.item_count + 1
    total = sparse.csr_matrix((size, size), dtype=np.float64)
    for item, user in _past_actions(store, before_s, chunk_actions):
        for lag in range(1, min(window, len(item) - 1) + 1):
            near, far = item[lag:], item[:-lag]
            together = (user[lag:] == user[:-lag]) & (near != far)
            weight = np.full(int(together.sum()), 1.0 / lag)
            entries = (weight, (near[together], far[together]))
            total = total + sparse.csr_matrix(entries, shape=(size, size))
    return (total + total.T).tocsr()


def _past_actions(
    store: SequenceStore, before_s: int, chunk_actions: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield item [n] and user [n] of whole users, chronological, in chunks of bounded size."""
    users = np.flatnonzero(store.length)
    ends = np.cumsum(store.length[users], dtype=np.int64)
    chunk = (ends - 1) // chunk_actions
    for number in np.unique(chunk):
        members = users[chunk == number]
        length = store.length[members].astype(np.int64)
        offset = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
        rows = np.repeat(store.start[members], length) + offset
        liked = (store.flags[rows] & ActionFlag.NEGATIVE) == 0
        kept = liked & (store.available_s(rows) <= before_s)
        yield store.item[rows[kept]], np.repeat(members, length)[kept]


def ppmi(counts: sparse.csr_matrix, smoothing: float = SMOOTHING) -> sparse.csr_matrix:
    """max(0, log p(a, b) / (p(a) p'(b))) of symmetric counts, contexts smoothed."""
    entries = counts.tocoo()
    marginal = np.asarray(counts.sum(axis=1)).ravel()
    context = marginal**smoothing
    total, context_total = marginal.sum(), context.sum()
    if total == 0:
        return counts
    expected = marginal[entries.row] / total * context[entries.col] / context_total
    information = np.maximum(np.log(entries.data / total / expected), 0.0)
    result = sparse.csr_matrix((information, (entries.row, entries.col)), shape=counts.shape)
    result.eliminate_zeros()
    return result
