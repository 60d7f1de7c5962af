"""External ids at the edge: one table per vocabulary, built once when a release is loaded."""

from collections.abc import Iterable, Sequence

import numpy as np

from homefeed.data.vocabulary import ExternalId, Vocabulary, typed_id


class IdTable:
    """External id ⇄ index with one dictionary look-up each way; index 0 is no id."""

    def __init__(self, external: Sequence[ExternalId]) -> None:
        self._external: list[ExternalId | None] = [None, *external]
        self._index = {each: i for i, each in enumerate(self._external) if i}
        self._typed_index = {typed_id(each): i for each, i in self._index.items()}

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> "IdTable":
        """The table of all ids of ``vocabulary``."""
        if vocabulary.size == 0:
            return cls([])
        return cls(vocabulary.ids(np.arange(1, vocabulary.size + 1)))

    def __len__(self) -> int:
        return len(self._external) - 1

    def index(self, external_id: ExternalId) -> int:
        """Index of an id; 0 where it is unknown."""
        return self._index.get(external_id, 0)

    def indices_of_typed(self, typed: Iterable[str]) -> np.ndarray:
        """Indices int32[n] of typed ids; 0 for unknown ones."""
        find = self._typed_index.get
        return np.array([find(each, 0) for each in typed], dtype=np.int32)

    def external(self, index: int) -> ExternalId:
        """The id of one index, as it came in."""
        return self._external[index]
