"""Item statistics against counts made row by row."""

import numpy as np
import polars as pl
import pytest

from homefeed.data.contract import write_dataset
from homefeed.data.item_stats import build_item_stats

DAY_S = 86_400


def test_statistics_equal_counts_made_row_by_row(dataset, store):
    created = np.full(store.meta.item_count + 1, -1, np.int64)
    stats = build_item_stats(dataset, store, created, label_lag_s=0)
    day = 9
    found = stats.as_of(day * DAY_S + 5)
    frame = dataset.scan("impressions").collect()
    for item in (2, 7, 20):
        index = store.items.indices(pl.Series([item]))[0]
        for window, first in (("_7d", day - 7), ("", 0)):
            past = frame.filter(
                pl.col("timestamp").is_between(
                    first * DAY_S * 1000, day * DAY_S * 1000, closed="left"
                )
            )
            mine = past.filter(pl.col("item_id") == item)
            rate = (mine["like"].sum() + 20 * past["like"].mean()) / (mine.height + 20)
            if index:
                assert found[index, stats.names.index(f"like_rate{window}")] == pytest.approx(rate)
                expected = np.log1p(mine.height)
                assert found[index, stats.names.index(f"log_exposures{window}")] == pytest.approx(
                    expected
                )


def test_statistics_of_a_day_are_the_same_whatever_days_were_asked_before(dataset, store):
    created = np.full(store.meta.item_count + 1, -1, np.int64)
    asked = build_item_stats(dataset, store, created)
    for day in (9, 12, 12, 5, 10):
        alone = build_item_stats(dataset, store, created).as_of(day * DAY_S)
        np.testing.assert_array_equal(asked.as_of(day * DAY_S), alone)


def test_an_impression_counts_an_hour_after_it_was_shown(dataset, store, tmp_path):
    """What is shown in a day's last hour is settled on the next day, and counts after that."""
    late_ms = [(9 * DAY_S - before_s) * 1000 for before_s in (3601, 3599)]
    tables = {name: dataset.scan(name).collect() for name in ("actions", "impressions")}
    one = tables["impressions"].head(1)
    shown = [one.with_columns(item_id=pl.lit(2), timestamp=pl.lit(time_ms)) for time_ms in late_ms]
    two = write_dataset(tmp_path, dataset.spec, tables | {"impressions": pl.concat(shown)})
    stats = build_item_stats(two, store, np.zeros(store.meta.item_count + 1, np.int64))
    row, column = store.items.indices(pl.Series([2]))[0], stats.names.index("log_exposures")
    found = [np.expm1(stats.as_of(day * DAY_S)[row, column]) for day in (8, 9, 10)]
    assert found == pytest.approx([0, 1, 2])
