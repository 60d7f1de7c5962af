"""Reading a table of any size: batches in the order of the log, within a bound of memory."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from homefeed.data.contract import Dataset
from homefeed.data.files import unreadable

BATCH_ROW_BYTES = 400  # a row of the log in a data frame with texts, and its copies
MIN_ROWS, MAX_ROWS = 1 << 14, 1 << 20


def batches(
    dataset: Dataset, table: str, columns: list[str], memory_mb: int
) -> Iterator[pl.DataFrame]:
    """The rows of ``table`` in the order of the log, in batches that fit a quarter of the memory.

    Raises DatasetError where the file cannot be read.
    """
    rows = int(np.clip(memory_mb * 1_000_000 // (4 * BATCH_ROW_BYTES), MIN_ROWS, MAX_ROWS))
    scan = dataset.scan(table).select(columns)
    try:
        if dataset.spec.files[table].endswith(".parquet"):
            yield from _slices(scan, rows)
        else:
            yield from scan.collect_batches(chunk_size=rows, maintain_order=True)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise unreadable(dataset.root / dataset.spec.files[table], error) from None


def _slices(scan: pl.LazyFrame, rows: int) -> Iterator[pl.DataFrame]:
    """One query a batch: Parquet skips to it, and nothing reads ahead.

    ``collect_batches`` decodes up to 250 MB ahead of its consumer, whatever the batch.
    """
    first = 0
    while (batch := scan.slice(first, rows).collect()).height:
        yield batch
        first += batch.height
