"""A day of a data set, in the form of the log that it extends."""

import polars as pl
import pytest

from homefeed.config import ChecksConfig
from homefeed.data.checks import check
from homefeed.data.day import with_day, write_day_of
from homefeed.errors import DatasetError
from homefeed.schema import ACTIONS, IMPRESSIONS, ITEMS

FROM_S = 20_000 * 86_400
TO_S = FROM_S + 86_400


def _rows(users: list, **columns) -> pl.DataFrame:
    times = [FROM_S + 60 * number for number in range(len(users))]
    rows = {"user_id": users, "item_id": [7] * len(users), "timestamp": times}
    return pl.DataFrame({**rows, **columns}).with_columns(action_type=pl.lit("buy"))


@pytest.fixture
def take(open_set, tmp_path):
    """Take the day of ``rows``, for a log with the ``base`` user ids."""

    def run(rows: pl.DataFrame, base: list, ending: str = "csv"):
        known = open_set("base", tables={"actions": _rows(base)})
        dataset = open_set("day", tables={"actions": rows}, ending=ending)
        return write_day_of(dataset, known, FROM_S * 1000, TO_S * 1000, tmp_path / "raw")

    return run


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_day_of_whole_numbers_has_text_ids_where_its_log_has(take, ending):
    day, actions = take(_rows([12, 13]), ["12", "anna"], ending)
    assert day.scan("actions").collect()["user_id"].to_list() == ["12", "13"]
    assert actions == 2


def test_a_day_of_text_ids_is_refused_where_its_log_has_numbers(take):
    with pytest.raises(DatasetError, match="user_id is text, and whole numbers in the log that"):
        take(_rows(["12", "anna"]), [12])


def test_an_empty_id_makes_no_text_of_the_others(take):
    day, _ = take(_rows(["12", ""]), [12])
    assert day.scan("actions").collect()["user_id"].to_list() == [12, None]


def test_rows_of_other_days_are_left_out(take):
    day, actions = take(_rows(["a", "b"], timestamp=[FROM_S - 1, TO_S]), ["a"])
    assert (day.scan("actions").collect().height, actions) == (0, 0)


def test_an_action_of_an_earlier_day_comes_with_the_day_on_which_it_arrived(take):
    users = ["that day", "the day before", "the day after", "of the next day", "in time"]
    times = [FROM_S - 60, FROM_S - 60, FROM_S - 60, TO_S, FROM_S]
    arrived = [FROM_S, FROM_S - 1, TO_S, TO_S, TO_S]
    day, actions = take(_rows(users, timestamp=times, arrived_at=arrived), ["a"])
    assert day.scan("actions").collect()["user_id"].to_list() == ["that day", "in time"]
    assert actions == 2


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_day_on_which_nothing_was_shown_and_no_item_described_passes_its_check(
    open_set, tmp_path, ending
):
    shown = _rows(["a"], request_id="r", position=1, click=0).drop("action_type")
    tables = {
        "actions": _rows(["a", "b"], timestamp=[FROM_S - 60, FROM_S], arrived_at=FROM_S + 60),
        "impressions": shown.with_columns(timestamp=pl.lit(FROM_S - 60)),
        "items": pl.DataFrame({"item_id": [7]}).clear(),
    }
    dataset = open_set("day", tables=tables, ending=ending, labels=["click"])
    known = open_set("base", tables={"actions": _rows(["a"])})
    day, _ = write_day_of(dataset, known, FROM_S * 1000, TO_S * 1000, tmp_path / "raw")
    report = check(day, tmp_path / "out", ChecksConfig(), TO_S, known_items=[known])
    assert {table: found.kept for table, found in report.tables.items()} == {"actions": 2}
    assert sorted(path.name for path in day.root.iterdir()) == ["actions.parquet", "dataset.yaml"]


def test_what_was_shown_that_day_and_described_is_kept(open_set, tmp_path):
    shown = _rows(["a"], request_id="r", position=1, click=0).drop("action_type")
    items = pl.DataFrame({"item_id": [7]})
    tables = {"actions": _rows(["a"]), "impressions": shown, "items": items}
    dataset = open_set("day", tables=tables, labels=["click"])
    day, _ = write_day_of(dataset, dataset, FROM_S * 1000, TO_S * 1000, tmp_path / "raw")
    assert [day.scan(table).collect().height for table in tables] == [1, 1, 1]


def test_what_cannot_be_read_of_a_day_is_set_aside_by_its_check(take, tmp_path):
    times = [str(FROM_S), "soon", str(FROM_S + 5), str(FROM_S + 6)]
    rows = _rows(["a", "b", "c", "d"], timestamp=times, duration_s=["1", "2", "long", "3"])
    day, actions = take(rows, ["a"])
    report = check(day, tmp_path / "out", ChecksConfig(max_rejected_share=0.9), TO_S)
    rejected = pl.read_parquet(tmp_path / "out" / "rejected" / "actions.parquet")
    assert rejected["unreadable"].to_list() == ["timestamp='soon'", "duration_s='long'"]
    assert (report.tables["actions"].kept, actions) == (2, 3)


def test_a_log_keeps_its_equal_untimed_rows_and_takes_no_row_of_a_day_twice():
    early = {"user_id": [1, 1], "timestamp": [5, 5], "arrived_at": [None, None]}
    late = {"user_id": [2, 3], "timestamp": [7, 8], "arrived_at": [None, 9]}
    types = {"user_id": pl.Int64, "timestamp": pl.Int64, "arrived_at": pl.Int64}
    before, day = pl.LazyFrame(early, schema=types), pl.LazyFrame(late, schema=types)
    known = pl.concat([before, day.head(1)])
    joined = with_day(known, day, ACTIONS, list(types)).collect()
    assert joined["user_id"].to_list() == [1, 1, 2, 3]


def test_an_action_that_the_log_has_is_not_taken_again_because_the_day_tells_more_of_it():
    types = {"user_id": pl.Int64, "timestamp": pl.Int64, "arrived_at": pl.Int64}
    known = pl.LazyFrame({"user_id": [1], "timestamp": [7], "arrived_at": [None]}, schema=types)
    told = {"user_id": [1, 2], "timestamp": [7, 8], "arrived_at": [7, 9]}
    joined = with_day(
        known, pl.LazyFrame(told, schema=types), ACTIONS, ["user_id", "timestamp"]
    ).collect()
    assert joined.rows() == [(1, 7, None), (2, 8, 9)]


def test_an_impression_that_both_have_is_the_days_with_its_later_labels():
    def shown(request: list, times: list, saves: list) -> pl.LazyFrame:
        same = {"user_id": [1] * len(times), "item_id": [7] * len(times)}
        return pl.LazyFrame(
            {"request_id": request, "timestamp": times, "position": [1] * len(times), **same}
            | {"save": saves}
        )

    known = shown(["a", "b", "c"], [5, 7, 8], [0, 0, 0])
    day = shown(["b", "d"], [7, 9], [1, 0])
    joined = with_day(known, day, IMPRESSIONS, ["request_id"]).collect()
    assert joined.select("request_id", "save").rows() == [("a", 0), ("c", 0), ("b", 1), ("d", 0)]


def test_an_item_that_both_have_is_described_once_as_the_day_has_it():
    known = pl.LazyFrame({"item_id": [1, 2], "text": ["old", "as it was"]})
    day = pl.LazyFrame({"item_id": [1, 3], "text": ["new", "added"]})
    joined = with_day(known, day, ITEMS, ["item_id", "text"]).collect()
    assert dict(joined.rows()) == {1: "new", 2: "as it was", 3: "added"}
    assert joined.height == 3


def test_rows_without_a_time_are_told_and_not_charged_to_one_day_of_many(take, capsys):
    rows = _rows(["a", "b", "c"], timestamp=[str(FROM_S), "soon", str(FROM_S - 86_400)])
    day, actions = take(rows, ["a"])
    assert (day.scan("actions").collect()["user_id"].to_list(), actions) == (["a"], 1)
    assert "= 1 actions of " in capsys.readouterr().out
