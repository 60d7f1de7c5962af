"""A data set without anything to learn is refused by its check; a day may be one."""

import polars as pl
import pytest

from homefeed.data.checks import CheckThresholds, check
from homefeed.errors import DatasetError

NOW_S = 1_750_000_000


def test_a_set_without_positives_is_refused_with_what_it_has(open_set, tmp_path):
    dataset = open_set(positive=["buy it"], neutral=["buy", "view"])
    with pytest.raises(DatasetError, match=r"positive \(buy it\), there are 20 .*, 20 .*; declare"):
        check(dataset, tmp_path / "out", CheckThresholds(), NOW_S)
    assert not (tmp_path / "out").exists()


def test_a_day_may_have_no_positives(open_set, tmp_path):
    day, known = open_set(positive=["buy it"], neutral=["buy", "view"]), open_set("log")
    report = check(day, tmp_path / "out", CheckThresholds(), NOW_S, known_items=[known])
    assert report.tables["actions"].kept == 40


@pytest.mark.parametrize("clicks", [0, 1])
def test_a_primary_label_that_is_never_1_is_refused(open_set, actions, tmp_path, clicks):
    shown = actions.drop("action_type").with_columns(
        request_id=pl.lit("r"), position=1, click=(pl.int_range(pl.len()) < clicks).cast(pl.Int8)
    )
    dataset = open_set(tables={"actions": actions, "impressions": shown}, labels=["click"])
    if clicks:
        assert check(dataset, tmp_path / "out", CheckThresholds(), NOW_S).failures == ()
        return
    with pytest.raises(DatasetError, match="`click` is 1 in none of 40 good impressions"):
        check(dataset, tmp_path / "out", CheckThresholds(), NOW_S)
