from collections.abc import Callable
from itertools import count
from pathlib import Path

import polars as pl
import pytest

from homefeed.data.contract import Dataset, DatasetSpec, write_dataset

SCHEMA = {
    "user_id": pl.Int64,
    "item_id": pl.String,
    "action_type": pl.String,
    "timestamp": pl.Int64,
    "surface": pl.String,
    "duration_s": pl.Float32,
    "event_id": pl.String,
    "request_id": pl.String,
    "arrived_at": pl.Int64,
    "time_known": pl.Boolean,
}
SPEC = DatasetSpec(
    name="test",
    files={},
    positive=("click", "like"),
    neutral=("watch",),
    negative=("hide",),
    min_duration_s={"click": 10.0},
    surfaces=("home", "search"),
)


@pytest.fixture
def dataset_of(tmp_path: Path) -> Callable[[list[dict]], Dataset]:
    """Rows (dictionaries, times in ms, absent values null) → a data set in the contract's form."""
    numbers = count()

    def make(rows: list[dict]) -> Dataset:
        filled = [{column: row.get(column) for column in SCHEMA} for row in rows]
        frame = pl.DataFrame(filled, schema=SCHEMA)
        return write_dataset(tmp_path / f"log-{next(numbers)}", SPEC, {"actions": frame})

    return make
