"""The whole step, from a folder to a checked folder or a refusal."""

import json

import polars as pl
import pytest
import yaml

from homefeed.config import ChecksConfig
from homefeed.data.checks import check
from homefeed.data.contract import Dataset
from homefeed.errors import CheckRefused, DatasetError

START_S, NOW_S = 1_700_000_000, 1_750_000_000
LENIENT = ChecksConfig(max_rejected_share=0.5, max_duplicate_share=0.5)


@pytest.fixture
def rich(actions):
    """Tables with one bad row of many kinds, and the reasons by table and row."""
    when = pl.col("timestamp") + pl.when(pl.int_range(pl.len()) == 3).then(10**9).otherwise(0)
    kind = pl.when(pl.int_range(pl.len()) == 5).then(pl.lit("?")).otherwise("action_type")
    user = pl.when(pl.int_range(pl.len()) != 7).then("user_id")
    bad = actions.with_columns(
        when.alias("timestamp"), kind.alias("action_type"), user.alias("user_id")
    )
    items = pl.DataFrame(
        {"item_id": [*range(10), 50, 4], "content": [[1.0, 2.0]] * 10 + [[1.0]] + [[0.0, 0.0]]}
    )
    shown = pl.DataFrame(
        {
            "request_id": [f"r{i // 2}" for i in range(20)],
            "user_id": ["u1"] * 20,
            "item_id": [{6: 77, 7: 50}.get(i, i % 10) for i in range(20)],
            "timestamp": [START_S + 60 * (i // 2) for i in range(20)],
            "position": [1 + i % 2 if i != 8 else 0 for i in range(20)],
            "click": [i % 2 if i != 9 else 3 for i in range(20)],
        }
    )
    tables = {"actions": pl.concat([bad, actions[:1]]), "items": items, "impressions": shown}
    reasons = {
        "actions": {
            3: "timestamp_in_future, timestamp_outside_span",
            5: "action_type_unknown",
            7: "user_id_missing",
            40: "duplicate",
        },
        "items": {10: "content_malformed", 11: "duplicate"},
        "impressions": {
            6: "item_unknown",
            7: "item_unknown",  # the item is there, but its row was set aside
            8: "position_below_1",
            9: "click_not_0_or_1",
        },
    }
    return tables, reasons


def test_bad_rows_are_set_aside_with_reasons_and_the_rest_is_a_data_set(open_set, rich, tmp_path):
    tables, reasons = rich
    span = [START_S, START_S + 86_400]
    dataset = open_set(tables=tables, labels=["click"], span=span)
    report = check(dataset, tmp_path / "out", LENIENT, NOW_S)
    checked = Dataset.open(tmp_path / "out")
    for table, expected in reasons.items():
        rejected = pl.read_parquet(tmp_path / "out" / "rejected" / f"{table}.parquet")
        assert dict(rejected.select("row", "reason").rows()) == expected
        kept = checked.scan(table).collect()
        assert kept.height + rejected.height == tables[table].height
        assert report.tables[table].read == tables[table].height
        assert report.tables[table].kept == kept.height
    good = [i for i in range(40) if i not in reasons["actions"]]
    assert checked.scan("actions").collect()["timestamp"].to_list() == [
        (START_S + 60 * i) * 1000 for i in good
    ]
    assert checked.spec.positive == ("buy",)
    assert json.loads((tmp_path / "out" / "report.json").read_text())["passed"]
    assert (tmp_path / "out" / "data_docs" / "index.html").is_file()
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "actions.parquet", "data_docs", "dataset.yaml", "impressions.parquet", "items.parquet",
        "rejected", "report.json",
    ]  # fmt: skip
    again = check(checked, tmp_path / "again", ChecksConfig(), NOW_S)
    assert all(table.kept == table.read for table in again.tables.values())
    assert not (tmp_path / "again" / "rejected").exists()


def test_a_refusal_names_the_expectation_and_shows_examples(open_set, actions, tmp_path):
    rows = actions.with_columns(pl.lit("bye").alias("action_type"))
    with pytest.raises(CheckRefused) as error:
        check(open_set(tables={"actions": rows}), tmp_path / "out", ChecksConfig(), NOW_S)
    message = str(error.value)
    assert error.value.exit_code == 3
    assert (
        "actions: `action_type is declared` fails for 40 of 40 rows (100 %, limit 5 %)" in message
    )
    assert "e.g. row 0 user_id='u0' item_id=0 action_type='bye'" in message
    assert "\n" not in message
    assert not (tmp_path / "out").exists()
    kept = tmp_path / "out.refused"
    assert str(kept / "data_docs" / "index.html") in message
    assert sorted(p.name for p in kept.iterdir()) == ["data_docs", "rejected", "report.json"]
    assert not json.loads((kept / "report.json").read_text())["passed"]


def test_a_good_run_takes_the_report_of_an_earlier_refusal_away(open_set, actions, tmp_path):
    wrong = actions.with_columns(pl.lit("bye").alias("action_type"))
    with pytest.raises(CheckRefused):
        check(open_set("a", tables={"actions": wrong}), tmp_path / "out", LENIENT, NOW_S)
    check(open_set("b"), tmp_path / "out", LENIENT, NOW_S)
    assert not (tmp_path / "out.refused").exists()


def test_unseen_items_are_counted_and_kept_until_there_are_too_many(open_set, actions, tmp_path):
    tables = {"actions": actions, "items": pl.DataFrame({"item_id": range(9)})}
    report = check(open_set("a", tables=tables), tmp_path / "a", ChecksConfig(), NOW_S)
    (unseen,) = [e for e in report.expectations if e.reason == "item_unseen"]
    assert unseen.broken == 4
    assert report.tables["actions"].kept == 40
    fewer = {**tables, "items": pl.DataFrame({"item_id": [0]})}
    with pytest.raises(CheckRefused, match="`item_id is a known item` fails for 36 of 40"):
        check(open_set("b", tables=fewer), tmp_path / "b", ChecksConfig(), NOW_S)


def test_one_day_is_checked_with_the_items_known_so_far(open_set, actions, tmp_path):
    so_far = open_set(
        "a", tables={"actions": actions, "items": pl.DataFrame({"item_id": range(9)})}
    )
    day = open_set("b", tables={"actions": actions, "items": pl.DataFrame({"item_id": [9]})})
    report = check(day, tmp_path / "day", ChecksConfig(), NOW_S, known_items=[so_far])
    (unseen,) = [e for e in report.expectations if e.reason == "item_unseen"]
    assert unseen.broken == 0


@pytest.mark.parametrize(
    ("declared", "times", "advice"),
    [
        ("s", 1000, "look like milliseconds (typical value 17000"),
        ("s", 10**6, "declare timestamp_unit: us"),
        ("ms", 1, "look like seconds"),
        ("us", 10**9, "divide them by 1,000"),
    ],
)
def test_times_in_another_unit_than_declared_are_one_clear_line(
    open_set, actions, tmp_path, declared, times, advice
):
    rows = actions.with_columns(pl.col("timestamp") * times)
    dataset = open_set(tables={"actions": rows}, timestamp_unit=declared)
    with pytest.raises(DatasetError) as error:
        check(dataset, tmp_path / "out", ChecksConfig(), NOW_S)
    assert advice in str(error.value)
    assert error.value.exit_code == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("table", ["actions", "items"])
def test_a_table_without_rows_is_refused_by_name(open_set, actions, tmp_path, table):
    tables = {"actions": actions, "items": pl.DataFrame({"item_id": [1]})}
    dataset = open_set(tables={**tables, table: tables[table].clear()})
    with pytest.raises(DatasetError, match=f"{table}.parquet holds no rows"):
        check(dataset, tmp_path / "out", ChecksConfig(), NOW_S)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set"]


def test_a_parquet_file_broken_inside_is_named_and_nothing_is_left(open_set, write_set, tmp_path):
    many = pl.DataFrame(
        {
            "user_id": range(50_000),
            "item_id": range(50_000),
            "action_type": ["buy"] * 50_000,
            "timestamp": range(START_S, START_S + 50_000),
        }
    )
    dataset = open_set(tables={"actions": many})
    file = dataset.root / "actions.parquet"
    content = bytearray(file.read_bytes())
    content[4:4000] = bytes(3996)
    file.write_bytes(content)
    with pytest.raises(DatasetError, match="is not a readable Parquet file"):
        check(dataset, tmp_path / "out", ChecksConfig(), NOW_S)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set"]


def test_values_that_cannot_be_read_are_set_aside_not_guessed(write_set, actions, tmp_path):
    root = write_set(tables={"actions": actions.with_columns(duration_s=pl.lit(2.0))}, ending="csv")
    lines = (root / "actions.csv").read_text().splitlines()
    lines[1] = lines[1].replace("2.0", "long")
    lines[2] = lines[2].replace(str(START_S + 60), "yesterday")
    (root / "actions.csv").write_text("\n".join(lines) + "\n")
    report = check(Dataset.open(root), tmp_path / "out", LENIENT, NOW_S)
    rejected = pl.read_parquet(tmp_path / "out" / "rejected" / "actions.parquet")
    marks = ["duration_s='long'", "timestamp='yesterday'"]
    assert rejected.select("row", "unreadable").rows() == list(enumerate(marks))
    (result,) = (r for r in report.expectations if r.reason == "value_unreadable")
    assert "timestamp='yesterday' duration_s=2.0" in result.sentence()
    assert rejected["reason"][0] == "value_unreadable"


@pytest.mark.parametrize(
    ("found", "mark"),
    [
        (["1700000000", "in\nthe " + "x" * 80], "timestamp='in the " + "x" * 53 + "'"),
        ([1_700_000_000.0, float("inf")], "timestamp=inf"),
    ],
)
def test_a_value_that_cannot_be_read_is_marked_on_one_short_line(
    open_set, actions, tmp_path, found, mark
):
    rows = actions[:2].with_columns(pl.Series("timestamp", found))
    check(open_set(tables={"actions": rows}), tmp_path / "out", LENIENT, NOW_S)
    rejected = pl.read_parquet(tmp_path / "out" / "rejected" / "actions.parquet")
    assert rejected["unreadable"].to_list() == [mark]


def test_a_single_user_a_single_day_and_ids_of_any_script_pass(open_set, actions, tmp_path):
    rows = actions.with_columns(pl.lit("用户-Ωß").alias("user_id")).unique()
    check(open_set(tables={"actions": rows}), tmp_path / "out", ChecksConfig(), NOW_S)
    checked = Dataset.open(tmp_path / "out").scan("actions").collect()
    assert checked["user_id"].unique().to_list() == ["用户-Ωß"]


def test_untimed_rows_that_look_alike_are_different_actions(open_set, actions, tmp_path):
    rows = pl.concat([actions[:1]] * 8).with_columns(time_known=pl.lit(False))
    report = check(open_set(tables={"actions": rows}), tmp_path / "out", ChecksConfig(), NOW_S)
    assert report.tables["actions"].kept == 8


def test_the_yaml_of_the_checked_set_names_canonical_files_and_units(open_set, actions, tmp_path):
    rows = actions.rename({"user_id": "Kunde"})
    renamed = {"actions": {"user_id": "Kunde"}}
    check(open_set(tables={"actions": rows}, columns=renamed), tmp_path / "out", LENIENT, NOW_S)
    values = yaml.safe_load((tmp_path / "out" / "dataset.yaml").read_text())
    assert values["timestamp_unit"] == "ms"
    assert "columns" not in values
    assert values["files"] == {"actions": "actions.parquet"}


@pytest.mark.parametrize(("broken", "refused"), [(2, False), (3, True)])
def test_exactly_the_allowed_share_passes_and_one_row_more_is_refused(
    open_set, actions, tmp_path, broken, refused
):
    late = pl.when(pl.int_range(pl.len()) < broken).then(NOW_S + 10**9).otherwise("timestamp")
    data = open_set(tables={"actions": actions[:40].with_columns(late.alias("timestamp"))})
    thresholds = ChecksConfig(max_rejected_share=2 / 40)
    if refused:
        with pytest.raises(CheckRefused, match="3 of 40 rows"):
            check(data, tmp_path / "checked", thresholds, NOW_S)
    else:
        assert check(data, tmp_path / "checked", thresholds, NOW_S).tables["actions"].kept == 38


@pytest.mark.parametrize(("most", "refused"), [(3, True), (4, False)])
def test_a_user_may_act_exactly_as_often_a_day_as_is_allowed(
    open_set, actions, tmp_path, most, refused
):
    day = START_S // 86_400 * 86_400
    columns = {"user_id": pl.lit("u1"), "timestamp": day + pl.int_range(pl.len()) * 60}
    data = open_set(tables={"actions": actions[:4].with_columns(**columns)})
    thresholds = ChecksConfig(max_actions_per_user_day=most)
    if refused:
        with pytest.raises(CheckRefused, match=f"no user acts more than {most} times a day"):
            check(data, tmp_path / "checked", thresholds, NOW_S)
    else:
        assert check(data, tmp_path / "checked", thresholds, NOW_S).tables["actions"].kept == 4


@pytest.mark.parametrize(
    ("late_s", "live", "rejected"),
    [(0, False, {}), (1, False, {"arrived_at_in_future": 1}), (1, True, {})],
)
def test_an_action_that_arrives_after_now_is_set_aside_unless_the_log_is_simulated(
    open_set, actions, tmp_path, late_s, live, rejected
):
    arrived = pl.when(pl.int_range(pl.len()) == 3).then(NOW_S + late_s).otherwise("timestamp")
    data = open_set(tables={"actions": actions.with_columns(arrived_at=arrived)}, live=live)
    report = check(data, tmp_path / "out", LENIENT, NOW_S)
    assert report.tables["actions"].rejected == rejected


def test_items_that_are_created_after_now_are_refused(open_set, actions, tmp_path):
    items = pl.DataFrame({"item_id": range(10), "created_at": [NOW_S] * 9 + [NOW_S + 1]})
    data = open_set(tables={"actions": actions, "items": items})
    with pytest.raises(CheckRefused, match="`created_at is not in the future` fails for 1 of 10"):
        check(data, tmp_path / "out", ChecksConfig(), NOW_S)
