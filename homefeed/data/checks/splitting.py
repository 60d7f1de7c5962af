"""Good rows to one file, rejected rows with their reasons to another, in the order of the log."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from homefeed.data.tables import UNREADABLE

BATCH_ROWS = 131_072
REASON = "reason"
ROW = "row"  # number of the row in the log, from 0


def split_rows(
    source: Path,
    good: Path,
    rejected: Path,
    bad_rows: np.ndarray,
    reasons: Sequence[str],
) -> None:
    """Stream ``source`` into two files that together hold every one of its rows.

    ``bad_rows`` int64[n] are ascending row numbers, ``reasons`` one text each. No rejected file
    is written where there is nothing to reject; memory is one batch.
    """
    file = pq.ParquetFile(source)
    columns = [name for name in file.schema_arrow.names if name != UNREADABLE]
    if not len(bad_rows) and len(columns) == len(file.schema_arrow.names):
        os.replace(source, good)
        return
    schema = pa.schema([file.schema_arrow.field(name) for name in columns])
    with pq.ParquetWriter(good, schema, compression="zstd") as good_writer:
        writer = _rejected_writer(rejected, file.schema_arrow) if len(bad_rows) else None
        start = 0
        for batch in file.iter_batches(BATCH_ROWS):
            low, high = np.searchsorted(bad_rows, [start, start + batch.num_rows])
            keep = np.ones(batch.num_rows, bool)
            keep[bad_rows[low:high] - start] = False
            good_writer.write_batch(batch.select(columns).filter(pa.array(keep)))
            if high > low:
                bad = batch.filter(pa.array(~keep))
                writer.write_batch(_with_reasons(bad, bad_rows[low:high], reasons[low:high]))
            start += batch.num_rows
        if writer:
            writer.close()


def _rejected_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    path.parent.mkdir(exist_ok=True)
    extra = [pa.field(ROW, pa.int64()), pa.field(REASON, pa.string())]
    return pq.ParquetWriter(path, pa.schema([*schema, *extra]), compression="zstd")


def _with_reasons(
    bad: pa.RecordBatch, numbers: np.ndarray, reasons: Sequence[str]
) -> pa.RecordBatch:
    rows, why = pa.array(numbers, pa.int64()), pa.array(reasons, pa.string())
    schema = pa.schema([*bad.schema, pa.field(ROW, pa.int64()), pa.field(REASON, pa.string())])
    return pa.RecordBatch.from_arrays([*bad.columns, rows, why], schema=schema)
