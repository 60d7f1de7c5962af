"""Small data sets in the contract's form."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import yaml

from homefeed.data.contract import Dataset, write_dataset
from homefeed.data.specification import DatasetSpec
from homefeed.data.vocabulary import Vocabulary

START_S = 1_700_000_000


def small_actions() -> pl.DataFrame:
    """Forty actions of four users on ten items, one a minute."""
    return pl.DataFrame(
        {
            "user_id": [f"u{i % 4}" for i in range(40)],
            "item_id": [i * 7 % 10 for i in range(40)],
            "action_type": [("buy", "view")[i % 2] for i in range(40)],
            "timestamp": [START_S + 60 * i for i in range(40)],
        }
    )


@pytest.fixture
def actions() -> pl.DataFrame:
    return small_actions()


@pytest.fixture
def write_set(tmp_path: Path) -> Callable[..., Path]:
    """Write tables (frames or ready files) and a dataset.yaml; returns the folder."""

    def write(name: str = "set", /, **keys) -> Path:
        root = tmp_path / name
        root.mkdir(exist_ok=True)
        tables = keys.pop("tables", {"actions": small_actions()})
        files = {}
        for table, rows in tables.items():
            ending = keys.get("ending", "parquet")
            files[table] = f"{table}.{ending}"
            if ending == "csv":
                rows.write_csv(root / files[table])
            else:
                rows.write_parquet(root / files[table])
        keys.pop("ending", None)
        values = {"name": "shop", "files": files, "positive": ["buy"], "neutral": ["view"], **keys}
        (root / "dataset.yaml").write_text(yaml.safe_dump(values, allow_unicode=True))
        return root

    return write


@pytest.fixture
def open_set(write_set) -> Callable[..., Dataset]:
    """Write as ``write_set`` does, and open the result."""
    return lambda *args, **keys: Dataset.open(write_set(*args, **keys))


@pytest.fixture
def with_items(tmp_path: Path) -> Callable[..., tuple[Dataset, Vocabulary]]:
    """A data set with this items table (None: without one), and a vocabulary of these ids."""

    def make(items: pl.DataFrame | None, *ids: int) -> tuple[Dataset, Vocabulary]:
        spec = DatasetSpec(name="x", files={"actions": "a"}, positive=("buy",))
        tables = {"actions": small_actions()} | ({} if items is None else {"items": items})
        dataset = write_dataset(tmp_path / "data", spec, tables)
        return dataset, Vocabulary().extended(pl.Series(ids))

    return make
