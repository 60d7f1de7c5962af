"""A data set without anything to learn is refused by its check; a day may be one."""

import polars as pl
import pytest

from homefeed.config import ChecksConfig
from homefeed.data.checks import check
from homefeed.errors import DatasetError

NOW_S = 1_750_000_000


def test_a_set_without_positives_is_refused_with_what_it_has(open_set, tmp_path):
    dataset = open_set(positive=["buy it"], neutral=["buy", "view"])
    with pytest.raises(DatasetError, match=r"positive \(buy it\), there are 20 .*, 20 .*; declare"):
        check(dataset, tmp_path / "out", ChecksConfig(), NOW_S)
    assert not (tmp_path / "out").exists()


def _with_one_long_purchase_elsewhere(actions: pl.DataFrame) -> pl.DataFrame:
    is_first = pl.int_range(pl.len()) == 0
    return actions.with_columns(
        duration_s=pl.when(is_first).then(9.1).otherwise(1.0),
        surface=pl.when(is_first).then(pl.lit("search")).otherwise(pl.lit("feed")),
    )


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"min_duration_s": {"buy": 10.0}}, r"0 last min_duration_s \(buy 10\), the longest 9.1 s"),
        ({"surfaces": ["home"]}, r"0 are on one of `surfaces` \(home\), the log has 'feed', 's"),
        (
            {"min_duration_s": {"buy": 9.0}, "surfaces": ["feed"]},
            r"1 last min_duration_s \(buy 9\).* 19 are on .* and none meets both",
        ),
    ],
)
def test_conditions_that_leave_no_positive_are_refused_by_name(
    open_set, actions, tmp_path, keys, said
):
    rows = _with_one_long_purchase_elsewhere(actions)
    dataset = open_set(tables={"actions": rows}, **keys)
    with pytest.raises(DatasetError, match=f"is positive: of 20 of a positive type {said}"):
        check(dataset, tmp_path / "out", ChecksConfig(), NOW_S)


@pytest.mark.parametrize("keys", [{"min_duration_s": {"buy": 9.1}}, {"surfaces": ["search"]}])
def test_one_action_that_meets_every_condition_is_enough(open_set, actions, tmp_path, keys):
    rows = _with_one_long_purchase_elsewhere(actions)
    dataset = open_set(tables={"actions": rows}, **keys)
    assert check(dataset, tmp_path / "out", ChecksConfig(), NOW_S).failures == ()


def test_a_duration_that_the_log_lacks_is_0(open_set, tmp_path):
    dataset = open_set(min_duration_s={"buy": 1.0})
    with pytest.raises(DatasetError, match=r"0 last min_duration_s \(buy 1\), the longest 0 s"):
        check(dataset, tmp_path / "out", ChecksConfig(), NOW_S)


def test_a_day_may_have_no_positives(open_set, tmp_path):
    day, known = open_set(positive=["buy it"], neutral=["buy", "view"]), open_set("log")
    report = check(day, tmp_path / "out", ChecksConfig(), NOW_S, known_items=[known])
    assert report.tables["actions"].kept == 40


@pytest.mark.parametrize("clicks", [0, 1])
def test_a_primary_label_that_is_never_1_is_refused(open_set, actions, tmp_path, clicks):
    shown = actions.drop("action_type").with_columns(
        request_id=pl.lit("r"), position=1, click=(pl.int_range(pl.len()) < clicks).cast(pl.Int8)
    )
    dataset = open_set(tables={"actions": actions, "impressions": shown}, labels=["click"])
    if clicks:
        assert check(dataset, tmp_path / "out", ChecksConfig(), NOW_S).failures == ()
        return
    with pytest.raises(DatasetError, match="`click` is 1 in none of 40 good impressions"):
        check(dataset, tmp_path / "out", ChecksConfig(), NOW_S)
