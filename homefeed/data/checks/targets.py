"""A whole data set needs something to learn: seen by the check, not by the gate after training."""

from pathlib import Path

import polars as pl

from homefeed.data.contract import Dataset
from homefeed.errors import DatasetError
from homefeed.schema import ACTION_TYPE, ACTIONS, IMPRESSIONS


def require_targets(dataset: Dataset, good: Path) -> None:
    """Raise DatasetError where no good row is a positive, or none has the primary label.

    ``good`` is the folder of the tables' good rows. Not for a single day: it may have none.
    """
    spec = dataset.spec
    actions = pl.scan_parquet(good / f"{ACTIONS}.parquet", glob=False)
    counts = actions.group_by(ACTION_TYPE).len().collect(engine="streaming").sort("len")
    found = dict(counts.reverse().iter_rows())
    if not any(name in found for name in spec.positive):
        kept = ", ".join(f"{count:,} {name}" for name, count in found.items()) or "no rows"
        raise DatasetError(
            f"data set `{spec.name}`: no good action is positive ({', '.join(spec.positive)}), "
            f"there are {kept}; declare under `positive` what the models shall predict"
        )
    if not dataset.has(IMPRESSIONS):
        return
    shown = pl.scan_parquet(good / f"{IMPRESSIONS}.parquet", glob=False)
    label = pl.col(spec.primary_label)
    hits, rows = shown.select(label.sum().cast(pl.Int64), pl.len()).collect().row(0)
    if not hits:
        raise DatasetError(
            f"data set `{spec.name}`: `{spec.primary_label}` is 1 in none of {rows:,} good "
            "impressions; declare another primary_label, or export its column again"
        )
