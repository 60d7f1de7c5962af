"""What the log before the test says about a test's length: mean and variance per user."""

from pathlib import Path

import polars as pl

from homefeed import schema
from homefeed.abtest.analysis import estimate
from homefeed.abtest.definition import Metric
from homefeed.clock import DAY_S
from homefeed.data.contract import Dataset
from loop.figures import Length, length_of
from loop.workspace import Finished


def planned_length(source: Finished, metric: Metric, effect: float, arms: int) -> Length:
    """Days that a test needs to see a lift of ``effect``, at most the world's live days."""
    by_day = _user_days(Dataset.open(Path(source.day.checked)), metric)
    rows = []
    for days in range(1, min(source.world.live_days, source.world.days) + 1):
        recent = by_day.filter(pl.col("time_s") >= source.world.end_s - days * DAY_S)
        sums = recent.group_by(schema.USER_ID).agg(pl.col("hits", "pages").sum())
        found = estimate(sums["hits"].to_numpy(), sums["pages"].to_numpy())
        rows.append((days, found.users, found.value, found.user_variance))
    return length_of(rows, effect, arms)


def _user_days(dataset: Dataset, metric: Metric) -> pl.DataFrame:
    """Per user and day: positives on pages of the feed, and pages; ``time_s`` is midnight."""
    time_s = pl.col(schema.TIMESTAMP) // 1000
    return (
        dataset.scan(schema.IMPRESSIONS)
        .group_by(schema.USER_ID, (time_s // DAY_S * DAY_S).alias("time_s"))
        .agg(
            pl.sum_horizontal(pl.col(list(metric.actions)).sum()).cast(pl.Float64).alias("hits"),
            pl.col(schema.REQUEST_ID).n_unique().cast(pl.Float64).alias("pages"),
        )
        .collect()
    )
