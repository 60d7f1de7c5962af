"""Times in another form than declared are named as what they are."""

import polars as pl
import pytest

from homefeed.config import ChecksConfig
from homefeed.data.checks import check
from homefeed.data.conversion import DATETIME_FORMS
from homefeed.errors import CheckRefused, DatasetError

NOW_S = 1_750_000_000
NANOSECONDS = "look like nanoseconds .* but seconds were declared; divide them by 1,000"
TIME = pl.col("timestamp")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("unit", "times", "message"),
    [
        ("s", pl.lit("2024-01-01T10:00:00"), "look like dates .*'2024-01-01T10:00:00'.* seconds"),
        (
            "ms",
            pl.lit("2024-01-01"),
            "milliseconds were declared; declare timestamp_unit: datetime",
        ),
        ("s", TIME * 10**9, NANOSECONDS),
        (
            "datetime",
            TIME.cast(pl.String),
            "like seconds .* but datetimes were .* timestamp_unit: s",
        ),
        ("datetime", (TIME * 1000).cast(pl.String), "like milliseconds .* timestamp_unit: ms"),
    ],
)
def test_times_that_cannot_be_read_as_declared_are_named(
    open_set, actions, tmp_path, ending, unit, times, message
):
    rows = actions.with_columns(times.alias("timestamp"))
    dataset = open_set(tables={"actions": rows}, ending=ending, timestamp_unit=unit)
    with pytest.raises(DatasetError, match=message):
        check(dataset, tmp_path / "out", ChecksConfig(), NOW_S)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_datetimes_of_an_unknown_form_are_refused_with_the_known_ones(
    open_set, actions, tmp_path, ending
):
    rows = actions.with_columns(timestamp=pl.lit("13/02/2024"))
    dataset = open_set(tables={"actions": rows}, ending=ending, timestamp_unit="datetime")
    with pytest.raises(DatasetError) as refused:
        check(dataset, tmp_path / "out", ChecksConfig(), NOW_S)
    assert str(refused.value) == (
        f"{dataset.root / 'actions'}.{ending}: timestamps have an unknown form ('13/02/2024'); "
        "write them as 2024-01-31, 2024-01-31 09:05, 2024-01-31T09:05:00.5Z, "
        "2024-01-31T10:05+01:00 or 2024-01-31 09:05:00 UTC"
    )


@pytest.mark.parametrize(
    ("column", "wanted"),
    [
        ("timestamp", "a time in the declared unit (such as 'yesterday')"),
        ("duration_s", "a number (such as 'yesterday')"),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_column_of_which_nothing_can_be_read_is_of_a_wrong_type(
    open_set, actions, tmp_path, ending, column, wanted
):
    rows = actions.with_columns(pl.lit("yesterday").alias(column))
    dataset = open_set(tables={"actions": rows}, ending=ending)
    with pytest.raises(DatasetError) as refused:
        check(dataset, tmp_path / "out", ChecksConfig(), NOW_S)
    said = f"actions.{ending}: not one value of '{column}' can be read as {wanted}; correct"
    assert said in str(refused.value)


@pytest.mark.parametrize("form", DATETIME_FORMS)
def test_the_forms_that_are_named_can_be_read(open_set, actions, tmp_path, form):
    rows = actions.with_columns(timestamp=pl.lit(form), item_id=pl.int_range(pl.len()) + 1)
    dataset = open_set(tables={"actions": rows}, timestamp_unit="datetime")
    report = check(dataset, tmp_path / "out", ChecksConfig(), NOW_S)
    assert report.tables["actions"].kept == len(rows)


def test_where_most_times_are_missing_the_others_form_is_not_blamed(open_set, actions, tmp_path):
    times = ["2024-01-31 09:05", "13/02/2024", *[None] * (len(actions) - 2)]
    rows = actions.with_columns(timestamp=pl.Series(times, dtype=pl.String))
    dataset = open_set(tables={"actions": rows}, timestamp_unit="datetime")
    with pytest.raises(CheckRefused, match="timestamp is present"):
        check(dataset, tmp_path / "out", ChecksConfig(), NOW_S)


def test_a_time_that_is_there_and_unreadable_is_not_also_missing(open_set, actions, tmp_path):
    times = [*actions["timestamp"].cast(pl.String).to_list()[:38], "soon", None]
    rows = actions.with_columns(pl.Series("timestamp", times))
    report = check(open_set(tables={"actions": rows}), tmp_path / "out", ChecksConfig(), NOW_S)
    assert report.tables["actions"].rejected == {"timestamp_missing": 1, "value_unreadable": 1}


def test_milliseconds_in_any_time_column_are_named_where_seconds_were_declared(
    open_set, actions, tmp_path
):
    late = actions.with_columns((TIME * 1000 + 60_000).alias("arrived_at"))
    dataset = open_set("late", tables={"actions": late})
    with pytest.raises(DatasetError, match="values of arrived_at look like milliseconds"):
        check(dataset, tmp_path / "late-out", ChecksConfig(), NOW_S)
    items = actions.select("item_id").unique().with_columns(created_at=pl.lit(1_700_000_000_000))
    dataset = open_set("created", tables={"actions": actions, "items": items})
    with pytest.raises(DatasetError, match="values of created_at look like milliseconds"):
        check(dataset, tmp_path / "created-out", ChecksConfig(), NOW_S)


def test_items_of_the_sixties_keep_their_age(open_set, actions, tmp_path):
    items = actions.select("item_id").unique().with_columns(created_at=pl.lit(-200_000_000))
    dataset = open_set(tables={"actions": actions, "items": items})
    assert check(dataset, tmp_path / "out", ChecksConfig(), NOW_S).tables["items"].kept


def shown_later(actions: pl.DataFrame, seconds: int, count: int) -> dict[str, pl.DataFrame]:
    """All actions answer an impression; those of the first ``count`` are this much later."""
    answers = actions.with_columns(request_id=pl.int_range(pl.len()).cast(pl.String))
    later = pl.when(pl.int_range(pl.len()) < count).then(seconds).otherwise(-5)
    shown = answers.drop("action_type").with_columns(TIME + later, position=1, click=1)
    return {"actions": answers, "impressions": shown}


def test_actions_and_impressions_of_two_time_zones_are_refused(open_set, actions, tmp_path):
    tables = shown_later(actions, seconds=7200, count=5)
    dataset = open_set(tables=tables, labels=["click"])
    message = "5 of 40 actions that answer an impression .* before it, by 120 minutes typically; "
    with pytest.raises(DatasetError, match=message):
        check(dataset, tmp_path / "out", ChecksConfig(), NOW_S)
    assert not (tmp_path / "out").exists()
    day = open_set("day", tables=tables, labels=["click"])
    assert (
        check(day, tmp_path / "day_out", ChecksConfig(), NOW_S, known_items=[dataset]).failures
        == ()
    )


@pytest.mark.parametrize(("seconds", "count"), [(7200, 4), (60, 40)])
def test_a_few_wrong_clocks_and_small_differences_are_no_time_zone(
    open_set, actions, tmp_path, seconds, count
):
    dataset = open_set(tables=shown_later(actions, seconds, count), labels=["click"])
    assert check(dataset, tmp_path / "out", ChecksConfig(), NOW_S).failures == ()
