from collections.abc import Callable
from dataclasses import replace
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
SHOWN = {
    "request_id": pl.String,
    "user_id": pl.Int64,
    "item_id": pl.String,
    "timestamp": pl.Int64,
    "position": pl.Int64,
    "like": pl.Int8,
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
def dataset_of(tmp_path: Path) -> Callable[..., Dataset]:
    """Rows (dictionaries, times in ms, absent values null) → a data set in the contract's form."""
    numbers = count()

    def make(rows: list[dict], shown: list[dict] | None = None) -> Dataset:
        spec, tables = SPEC, {"actions": _frame(rows, SCHEMA)}
        if shown is not None:
            spec = replace(SPEC, labels=("like",))
            tables["impressions"] = _frame(shown, SHOWN)
        return write_dataset(tmp_path / f"log-{next(numbers)}", spec, tables)

    return make


def _frame(rows: list[dict], schema: dict) -> pl.DataFrame:
    return pl.DataFrame([{column: row.get(column) for column in schema} for row in rows], schema)
