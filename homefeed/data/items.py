"""What the items table says about items: their age and their topic (content: item_content.py).

Shapes: I items of the vocabulary (row 0 is padding).
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from homefeed.data.contract import Dataset
from homefeed.data.vocabulary import Vocabulary
from homefeed.schema import CATEGORIES, CREATED_AT, ITEM_ID, ITEMS, PADDING

NO_TIME = -1  # created_s of an item whose age nobody recorded
INDEX = "index"


@dataclass(frozen=True)
class ItemTable:
    """Items by vocabulary index."""

    created_s: np.ndarray  # int64 [I+1] seconds, NO_TIME where unknown
    topic: np.ndarray  # int32 [I+1]: the item's first category, numbered; 0 where it has none
    topic_names: tuple[str, ...]  # by topic number; [0] == ""

    @classmethod
    def empty(cls, num_items: int) -> "ItemTable":
        """For a data set without an items table."""
        return cls(
            np.full(num_items + 1, NO_TIME, np.int64), np.zeros(num_items + 1, np.int32), ("",)
        )

    def old(self, before_s: int) -> np.ndarray:
        """Mask bool [I+1]: items that existed at ``before_s``, or of an age that nobody knows."""
        found = (self.created_s <= before_s) | (self.created_s == NO_TIME)
        found[PADDING] = False
        return found


def load_items(dataset: Dataset, items: Vocabulary) -> ItemTable:
    """Read the items table of ``dataset`` into rows by vocabulary index."""
    rows = item_rows(dataset, items)
    if rows is None:
        return ItemTable.empty(items.size)
    index = rows[INDEX].to_numpy()
    milliseconds = rows[CREATED_AT].fill_null(NO_TIME * 1000).to_numpy()
    created_s = np.full(items.size + 1, NO_TIME, np.int64)
    created_s[index] = milliseconds // 1000
    topic, names = _topics(rows[CATEGORIES])
    by_index = np.zeros(items.size + 1, np.int32)
    by_index[index] = topic
    return ItemTable(created_s, by_index, names)


def item_rows(dataset: Dataset, items: Vocabulary) -> pl.DataFrame | None:
    """The table's rows by ascending vocabulary ``index``; None without a table.

    Rows of items outside the vocabulary are left out; the last row of a repeated item counts.
    """
    if not dataset.has(ITEMS):
        return None
    rows = dataset.scan(ITEMS).collect()
    rows = rows.with_columns(pl.Series(INDEX, items.indices(rows[ITEM_ID])))
    return rows.filter(pl.col(INDEX) != PADDING).unique(INDEX, keep="last").sort(INDEX)


def _topics(column: pl.Series) -> tuple[np.ndarray, tuple[str, ...]]:
    """Number the first categories by name: topic int32 [N], names by number."""
    first = column.list.first().fill_null("")
    names = ("", *sorted(set(first.to_list()) - {""}))
    number = {name: place for place, name in enumerate(names)}
    return np.array([number[name] for name in first.to_list()], np.int32), names
