"""Items that were shown, each at the time of its first showing.

They enter the vocabulary at that time, among the items that are acted on. Were an index given to
items with an action alone, then of two items that nobody has met yet the one that will be taken
would have one, with content and statistics, and the one that never is would have none: the index
itself would tell a ranker the label.
"""

from collections.abc import Callable, Iterable

import numpy as np
import polars as pl

from homefeed.data.contract import Dataset
from homefeed.data.sequences.reading import batches
from homefeed.data.vocabulary import Vocabulary
from homefeed.schema import IMPRESSIONS, ITEM_ID, TIMESTAMP


class FirstShown:
    """Shown items in order of their first showing, handed out once each as time goes on.

    Memory grows with the number of distinct items, not with the number of impressions.
    """

    def __init__(self, shown: pl.DataFrame | None = None) -> None:
        """``shown``: one row per item, item_id and timestamp (ms), ascending in time."""
        if shown is None:
            shown = pl.DataFrame(schema={ITEM_ID: pl.Int64, TIMESTAMP: pl.Int64})
        self._ids, self._time_ms = shown[ITEM_ID], shown[TIMESTAMP].to_numpy()
        self._taken = 0

    @classmethod
    def read(cls, dataset: Dataset, known: Vocabulary, memory_mb: int) -> "FirstShown":
        """The shown items of ``dataset`` that ``known`` lacks; none where nothing was shown.

        Items first shown at one time keep the order of the table.
        """
        if not dataset.has(IMPRESSIONS):
            return cls()
        read = batches(dataset, IMPRESSIONS, [ITEM_ID, TIMESTAMP], memory_mb)
        whole = (batch.drop_nulls() for batch in read)
        unknown = (rows.filter(pl.Series(known.indices(rows[ITEM_ID]) == 0)) for rows in whole)
        return cls(merged(unknown, earliest))

    def until(self, time_ms: int | None = None) -> tuple[pl.Series, np.ndarray]:
        """Ids and times int64 of the items shown by ``time_ms`` (None: all) and not taken yet."""
        last = len(self._ids)
        if time_ms is not None:
            last = max(self._taken, int(np.searchsorted(self._time_ms, time_ms, side="right")))
        taken = slice(self._taken, last)
        self._taken = last
        return self._ids[taken], self._time_ms[taken]


def merged(
    parts: Iterable[pl.DataFrame], merge: Callable[[pl.DataFrame], pl.DataFrame]
) -> pl.DataFrame | None:
    """All parts, in their order, through ``merge`` as one; None where there are none.

    Parts are merged when as many rows came as were kept: each row a few times, not with every
    part, and no more is held than twice what is kept and one part.
    """
    kept: list[pl.DataFrame] = []
    for part in parts:
        kept.append(merge(part))
        if sum(map(len, kept[1:])) >= len(kept[0]):
            kept = [merge(pl.concat(kept))]
    return merge(pl.concat(kept)) if kept else None


def earliest(rows: pl.DataFrame) -> pl.DataFrame:
    """Each item's first row in time, ascending; of one time, the first of the table."""
    in_time = rows.sort(TIMESTAMP, maintain_order=True)
    return in_time.unique(ITEM_ID, keep="first", maintain_order=True)
