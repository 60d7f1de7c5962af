"""Small logs written out by hand, built into real sequence stores."""

from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
import pytest
import torch

from homefeed.data.contract import write_dataset
from homefeed.data.sequences.build import build_sequences
from homefeed.data.sequences.store import SequenceStore
from homefeed.data.specification import DatasetSpec

torch.set_num_threads(1)
DAY_S = 86_400


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., SequenceStore]:
    """rows: (user, item, type, second) with types like (positive), view, hate (negative).

    A fifth value is the second of arrival. ``shown``: (user, item, second).
    """

    def make(
        rows: Sequence[tuple], name: str = "log", shown: Sequence[tuple] = ()
    ) -> SequenceStore:
        actions = pl.DataFrame(
            [(*row[:3], row[3] * 1000, row[-1] * 1000) for row in rows],
            schema={
                "user_id": pl.Int64,
                "item_id": pl.Int64,
                "action_type": pl.String,
                "timestamp": pl.Int64,
                "arrived_at": pl.Int64,
            },
            orient="row",
        )
        tables = {"actions": actions}
        if shown:
            tables["impressions"] = pl.DataFrame(
                [
                    (f"r{n}", user, item, 1000 * time_s, 1, 0)
                    for n, (user, item, time_s) in enumerate(shown)
                ],
                schema=["request_id", "user_id", "item_id", "timestamp", "position", "like"],
                orient="row",
            )
        spec = DatasetSpec(
            name=name,
            files={},
            labels=("like",) if shown else (),
            positive=("like",),
            neutral=("view",),
            negative=("hate",),
        )
        dataset = write_dataset(tmp_path / name, spec, tables)
        return build_sequences(dataset, tmp_path / f"{name}-store")

    return make
