"""Items near a user's vector: an HNSW graph with its id map, and exact search beside it.

Small catalogues and narrow filters are searched exactly: a graph search that has to pass over
most of what it meets is slower and loses recall. Results hold items of the index only, never
padding, never what was excluded.

Shapes: I items of the vocabulary (row 0 is padding), N items of the index, D dim, K results.
"""

import hashlib
import threading
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from homefeed.artifacts import read_json, write_json
from homefeed.errors import ArtifactError, ConfigError

if TYPE_CHECKING:
    from usearch.index import Index

GRAPH, IDS, DESCRIPTION = "index.usearch", "index_ids.npy", "index.json"
VERSION = 2


@dataclass(frozen=True, kw_only=True)
class IndexConfig:
    """How the graph is built and searched (usearch's names in brackets)."""

    links: int = 16  # neighbours kept of an item in the graph [connectivity]
    build_depth: int = 200  # candidates looked at when an item is added [expansion_add]
    search_depth: int = 128  # candidates looked at in a search, at least 2 K [expansion_search]
    exact_below: int = 20_000  # a catalogue of fewer items is always searched exactly
    exact_share: float = 0.1  # so is a filter that keeps less than this share of the items
    threads: int = 1  # of the build; with more than one, the graph depends on their order


class ItemIndex:
    """Nearest items by inner product. ``ItemIndex.build(vectors)``, or ``open`` what was saved."""

    def __init__(
        self, vectors: np.ndarray, items: np.ndarray, graph: "Index | None", config: IndexConfig
    ) -> None:
        self.items = items  # int32 [N] ascending
        self.config = config
        self._all = vectors
        self._vectors = vectors[items]  # (N, D)
        self._graph = graph
        self._one_search = threading.Lock()  # each search uses the graph's first scratch space

    @classmethod
    def build(
        cls,
        vectors: np.ndarray,
        items: np.ndarray | None = None,
        config: IndexConfig | None = None,
    ) -> "ItemIndex":
        """Index the rows ``items`` of vectors [I+1, D]; by default all that are not zero.

        Raises ConfigError for items outside 1..I and for vectors that are not finite.
        """
        config = config or IndexConfig()
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        items = _checked_items(vectors, items)
        graph = None
        if len(items) >= max(config.exact_below, 1):
            graph = _new_graph(vectors.shape[1], config)
            places = np.arange(len(items), dtype=np.uint64)
            graph.add(places, vectors[items], threads=config.threads)
        return cls(vectors, items, graph, config)

    def __len__(self) -> int:
        return len(self.items)

    def search(
        self,
        vector: np.ndarray,
        count: int,
        *,
        exclude: Collection[int] = (),
        allowed: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The nearest items to vector [D]: int32 [K] and scores float32 [K], best first.

        K is ``count``, or fewer where the index, the filter or the exclusion leave fewer.
        ``exclude`` are items not to return (seen ones), ``allowed`` bool [I+1] says which may be.
        """
        place = self._places(exclude)
        usable = np.ones(len(self.items), bool) if allowed is None else allowed[self.items]
        usable = usable.astype(bool)  # a copy: the caller's filter stays as it is
        share = usable.mean() if len(usable) else 0.0
        usable[place] = False
        count = min(count, int(usable.sum()))
        if self._graph is None or share < self.config.exact_share:
            return self._exact(vector, count, usable)
        # Enough to be left with `count` after exclusion and filter. The graph looks at
        # `search_depth` candidates, or as many as are asked for: asking for more than wanted keeps
        # the recall of deep results up.
        found, score = self._near(vector, int((2 * count + len(place)) / share))
        kept = usable[found]
        found, score = found[kept][:count], score[kept][:count]
        if len(found) < count:
            return self._exact(vector, count, usable)
        return self.items[found], score

    def _near(self, vector: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Places int64 [<= K] and scores of a graph search, best first."""
        query = np.asarray(vector, np.float32)
        with self._one_search:
            near = self._graph.search(query, min(count, len(self.items)), threads=1)
        return near.keys.astype(np.int64), 1 - near.distances

    def _exact(
        self, vector: np.ndarray, count: int, usable: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The best ``count`` of the usable places; equal scores in the order of the items."""
        candidates = np.flatnonzero(usable)
        score = (self._vectors @ np.asarray(vector, np.float32))[candidates]
        if 0 < count < len(candidates):
            edge = -np.partition(-score, count - 1)[count - 1]
            near = np.flatnonzero(score >= edge)  # more than `count` where scores are equal
            candidates, score = candidates[near], score[near]
        order = np.argsort(-score, kind="stable")[:count]
        return self.items[candidates[order]], score[order]

    def _places(self, items: Collection[int]) -> np.ndarray:
        """Rows of the index that hold ``items``; others are not in it and need no exclusion."""
        wanted = np.unique(np.fromiter(items, np.int64, len(items)))
        place = np.searchsorted(self.items, wanted)
        inside = place < len(self.items)
        place, wanted = place[inside], wanted[inside]
        return place[self.items[place] == wanted]

    def save(self, folder: Path) -> None:
        """Write graph, id map and description into an existing folder, bound to the vectors."""
        folder = Path(folder)
        np.save(folder / IDS, self.items)
        if self._graph is not None:
            self._graph.save(str(folder / GRAPH))
        described = {
            "version": VERSION,
            "config": asdict(self.config),
            "has_graph": self._graph is not None,
            "vectors_hash": hash_vectors(self._all),
            "items_hash": _hash(self.items),
        }
        write_json(folder / DESCRIPTION, described)

    @classmethod
    def open(cls, folder: Path, vectors: np.ndarray) -> "ItemIndex":
        """Open what ``save`` wrote, for the very vectors [I+1, D] that it was built from.

        Raises ArtifactError: missing, truncated, another version, other vectors.
        """
        folder = Path(folder)
        described = read_json(folder / DESCRIPTION)
        if described.get("version") != VERSION:
            raise ArtifactError(
                f"index {folder} has version {described.get('version')}, this code reads "
                f"{VERSION}; make the snapshot again"
            )
        if (found := hash_vectors(vectors)) != described["vectors_hash"]:
            raise ArtifactError(
                f"index {folder} was built from vectors {described['vectors_hash']}, these are "
                f"{found}; make the snapshot again"
            )
        try:
            items = np.load(folder / IDS)
            config = IndexConfig(**described["config"])
            graph = None
            if described["has_graph"]:
                graph = _new_graph(vectors.shape[1], config)
                graph.load(str(folder / GRAPH))
        except (OSError, ValueError, EOFError, RuntimeError, TypeError) as error:
            raise ArtifactError(
                f"index {folder} cannot be read ({error}); make the snapshot again"
            ) from None
        size = len(items) if graph is None else len(graph)
        if _hash(items) != described["items_hash"] or size != len(items):
            raise ArtifactError(
                f"index {folder} holds {size:,} vectors under {len(items):,} ids, or others than "
                "were saved; make the snapshot again"
            )
        return cls(np.ascontiguousarray(vectors, np.float32), items, graph, config)


def hash_vectors(vectors: np.ndarray) -> str:
    """16 hexadecimal digits over the shape and the float32 bytes of vectors."""
    return _hash(np.asarray(vectors, np.float32))


def _new_graph(dim: int, config: IndexConfig) -> "Index":
    from usearch.index import Index

    return Index(
        ndim=dim,
        metric="ip",
        dtype="f32",
        connectivity=config.links,
        expansion_add=config.build_depth,
        expansion_search=config.search_depth,
    )


def _checked_items(vectors: np.ndarray, items: np.ndarray | None) -> np.ndarray:
    if items is None:
        items = np.flatnonzero(np.any(vectors != 0, axis=1))
    items = np.unique(np.asarray(items)).astype(np.int32)
    if len(items) and not (items[0] >= 1 and items[-1] < len(vectors)):
        raise ConfigError(
            f"items {int(items[0])}..{int(items[-1])} are not all among 1..{len(vectors) - 1}: "
            "index items of the vectors' own vocabulary, 0 is padding"
        )
    broken = items[~np.isfinite(vectors[items]).all(axis=1)]
    if len(broken):
        raise ConfigError(f"the vector of item {int(broken[0])} is not finite; embed items again")
    return items


def _hash(array: np.ndarray) -> str:
    digest = hashlib.blake2b(f"{array.shape} {array.dtype}".encode(), digest_size=8)
    digest.update(memoryview(np.ascontiguousarray(array)).cast("B"))
    return digest.hexdigest()
