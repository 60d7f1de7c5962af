import resource
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from homefeed.data.contract import Dataset, resolve, write_dataset
from homefeed.data.specification import DatasetSpec
from homefeed.errors import DatasetError, StorageError

START_S = 1_700_000_000


def refusal(act) -> str:
    """The message of the DatasetError that ``act`` raises: one line."""
    with pytest.raises(DatasetError) as error:
        act()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_scan_gives_canonical_names_types_and_defaults(open_set, actions):
    rows = open_set().scan("actions").collect()
    assert rows.schema == {
        "user_id": pl.String,
        "item_id": pl.Int64,
        "action_type": pl.String,
        "timestamp": pl.Int64,
        "surface": pl.String,
        "duration_s": pl.Float32,
        "request_id": pl.String,
        "event_id": pl.String,
        "arrived_at": pl.Int64,
        "time_known": pl.Boolean,
    }
    assert rows["user_id"].equals(actions["user_id"])
    assert rows["timestamp"].equals(actions["timestamp"] * 1000)
    assert rows.row(0)[4:] == ("", 0.0, None, None, None, True)


def test_columns_are_those_that_the_file_holds(open_set, actions):
    dataset = open_set(tables={"actions": actions.with_columns(surface=pl.lit("home"), more=1)})
    assert dataset.columns("actions") == (
        "user_id", "item_id", "action_type", "timestamp", "surface"
    )  # fmt: skip


def test_columns_with_other_names_are_found_by_the_yaml(open_set, actions):
    renamed = actions.rename({"user_id": "Kunde", "timestamp": "Zeit"})
    dataset = open_set(
        tables={"actions": renamed}, columns={"actions": {"user_id": "Kunde", "timestamp": "Zeit"}}
    )
    assert dataset.scan("actions").collect()["user_id"].equals(actions["user_id"])


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_ids_come_back_unchanged_whatever_they_are(open_set, actions, ending):
    ids = ["naïve", "用户", "007", "a,b", 'q"q', "-0", "12", "🦊"] * 5
    rows = actions.with_columns(pl.Series("user_id", ids))
    dataset = open_set(tables={"actions": rows}, ending=ending)
    assert dataset.scan("actions").collect()["user_id"].to_list() == ids


def test_csv_ids_are_numbers_only_where_every_table_has_numbers(open_set, actions):
    numbers = open_set("numbers", tables={"actions": actions}, ending="csv")
    assert numbers.scan("actions").collect_schema()["item_id"] == pl.Int64
    items = pl.DataFrame({"item_id": ["1", "2", "A12"]})
    mixed = open_set("mixed", tables={"actions": actions, "items": items}, ending="csv")
    assert mixed.scan("actions").collect_schema()["item_id"] == pl.String
    assert mixed.scan("items").collect()["item_id"].to_list() == ["1", "2", "A12"]


def test_csv_is_read_like_parquet(open_set, actions):
    rows = actions.with_columns(duration_s=pl.lit(2.5), time_known=pl.lit(False))
    parquet = open_set("one", tables={"actions": rows}).scan("actions").collect()
    csv = open_set("two", tables={"actions": rows}, ending="csv").scan("actions").collect()
    assert csv.equals(parquet)


@pytest.mark.parametrize(
    ("unit", "raw"),
    [
        ("s", START_S),
        ("ms", START_S * 1000),
        ("us", START_S * 1_000_000),
        ("datetime", datetime(2023, 11, 14, 22, 13, 20)),
        ("datetime", "2023-11-14 22:13:20"),
        ("datetime", "2023-11-15T00:13:20+02:00"),
        ("datetime", "2023-11-14T22:13:20.000Z"),
        ("datetime", "2023-11-14 22:13:20 UTC"),
        ("datetime", "2023-11-14 22:13:20.000 GMT"),
        ("datetime", "2023-11-14 22:13:20 +0000 UTC"),
        ("datetime", "2023-11-14 22:13:20+00"),
    ],
)
def test_every_unit_becomes_milliseconds_utc(open_set, actions, unit, raw):
    rows = actions.with_columns(pl.lit(raw).alias("timestamp"))
    dataset = open_set(tables={"actions": rows}, timestamp_unit=unit)
    assert dataset.scan("actions").collect()["timestamp"].unique().to_list() == [START_S * 1000]


@pytest.mark.parametrize(
    "raw",
    [
        "2023-11-14T22:13",
        "2023-11-14T22:13Z",
        "2023-11-14 22:13 UTC",
        "2023-11-15T00:13+02:00",
        "2023-11-14 16:43-0530",
    ],
)
def test_a_time_may_leave_its_seconds_out(open_set, actions, raw):
    rows = actions.with_columns(pl.lit(raw).alias("timestamp"))
    dataset = open_set(tables={"actions": rows}, timestamp_unit="datetime")
    minute_s = START_S - START_S % 60
    assert dataset.scan("actions").collect()["timestamp"].unique().to_list() == [minute_s * 1000]


@pytest.mark.parametrize("raw", ["UTC", "2023-11-14T22:13 CET", "2023-11-14T22Z", "22:13Z"])
def test_a_time_in_no_known_form_is_not_guessed(open_set, actions, raw):
    rows = actions.with_columns(pl.lit(raw).alias("timestamp"))
    dataset = open_set(tables={"actions": rows}, timestamp_unit="datetime")
    assert dataset.scan("actions").collect()["timestamp"].null_count() == rows.height


def test_naive_datetimes_are_read_in_the_declared_zone(open_set, actions):
    rows = actions.with_columns(pl.lit(datetime(2023, 11, 14, 23, 13, 20)).alias("timestamp"))
    dataset = open_set(
        tables={"actions": rows}, timestamp_unit="datetime", time_zone="Europe/Berlin"
    )
    assert dataset.scan("actions").collect()["timestamp"][0] == START_S * 1000


def test_content_and_categories_may_be_lists_or_text_between_bars(open_set, actions):
    items = pl.DataFrame({"item_id": [1], "categories": ["a|b c"], "content": ["0.5|-2"]})
    row = open_set(tables={"actions": actions, "items": items}).scan("items").collect()
    assert row["categories"].to_list() == [["a", "b c"]]
    assert row["content"].to_list() == [[0.5, -2.0]]


def test_not_a_number_is_an_absent_number(open_set, actions):
    rows = actions.with_columns(pl.lit(float("nan")).alias("duration_s"))
    assert open_set(tables={"actions": rows}).scan("actions").collect()["duration_s"].sum() == 0


def test_a_missing_file_is_named(write_set):
    root = write_set()
    (root / "actions.parquet").unlink()
    assert "actions.parquet does not exist" in refusal(lambda: Dataset.open(root))


def test_a_missing_column_is_named_with_those_that_are_there(write_set, actions):
    root = write_set(tables={"actions": actions.rename({"user_id": "uid"})})
    message = refusal(lambda: Dataset.open(root))
    assert "has no column `user_id`" in message
    assert "it has: uid, item_id" in message
    assert "columns: {actions" in message


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pl.lit(1.5).alias("user_id"), "`user_id` (user_id) has type Float64; it must hold whole"),
        (pl.lit(True).alias("item_id"), "has type Boolean; it must hold whole numbers or text"),
        (
            pl.lit(b"\x01").alias("item_id"),
            "type Binary; it must hold whole numbers or text, so write",
        ),
        (pl.lit([1]).alias("action_type"), "it must hold text"),
        (pl.lit(datetime(2024, 1, 1)).alias("timestamp"), "for dates declare datetime"),
        (pl.lit([1]).alias("duration_s"), "it must hold numbers"),
    ],
)
def test_a_wrong_type_is_named_with_what_is_needed(write_set, actions, column, message):
    root = write_set(tables={"actions": actions.with_columns(column)})
    assert message in refusal(lambda: Dataset.open(root))


def test_ids_of_two_types_are_refused(write_set, actions):
    items = pl.DataFrame({"item_id": ["1", "2"]})
    root = write_set(tables={"actions": actions, "items": items})
    assert "item_id is whole numbers in actions and text in items" in refusal(
        lambda: Dataset.open(root)
    )


@pytest.mark.parametrize("left", [0, 10, 500])
def test_a_truncated_parquet_file_is_named(write_set, left):
    root = write_set()
    file = root / "actions.parquet"
    file.write_bytes(file.read_bytes()[:left])
    message = refusal(lambda: Dataset.open(root))
    assert "actions.parquet" in message
    assert "export it again" in message


def test_a_csv_called_parquet_is_named(write_set, actions):
    root = write_set()
    actions.write_csv(root / "actions.parquet")
    assert "is not a readable Parquet file" in refusal(lambda: Dataset.open(root))


def test_an_unknown_key_of_the_yaml_gets_a_suggestion(write_set):
    root = write_set(sesion_gap_s=60)
    assert "unknown key `sesion_gap_s`; did you mean `session_gap_s`?" in refusal(
        lambda: Dataset.open(root)
    )


def test_a_renamed_column_that_the_contract_does_not_know_gets_a_suggestion(write_set):
    root = write_set(columns={"actions": {"user": "user_id"}})
    assert "unknown column `user`; did you mean `user_id`?" in refusal(lambda: Dataset.open(root))


def test_a_folder_without_yaml_is_told_how_to_write_one(tmp_path):
    (tmp_path / "log.csv.gz").write_bytes(b"")
    message = refusal(lambda: resolve(str(tmp_path), tmp_path / "workspace"))
    assert "has no dataset.yaml and is none of the known sets" in message
    assert "docs/bring-your-own-data.md" in message
    assert "does not exist" in refusal(lambda: resolve(str(tmp_path / "no"), tmp_path))


def test_a_folder_with_a_yaml_is_read_where_it_lies(write_set, tmp_path):
    root = write_set()
    assert resolve(str(root), tmp_path / "workspace").root == root
    assert not (tmp_path / "workspace").exists()


def test_parts_of_a_table_are_read_in_the_order_of_their_names(write_set, actions):
    root = write_set()
    (root / "actions.parquet").unlink()
    (root / "days").mkdir()
    for day in range(4):
        actions[day * 10 : day * 10 + 10].write_parquet(root / "days" / f"{day}.parquet")
    for files in ("days", "days/*.parquet"):
        values = yaml.safe_load((root / "dataset.yaml").read_text())
        (root / "dataset.yaml").write_text(yaml.safe_dump({**values, "files": {"actions": files}}))
        rows = Dataset.open(root).scan("actions").collect()
        assert rows["timestamp"].equals(actions["timestamp"] * 1000)


def test_the_fingerprint_follows_rows_and_specification(write_set, actions):
    first = Dataset.open(write_set("a")).fingerprint()
    assert Dataset.open(write_set("b")).fingerprint() == first
    assert Dataset.open(write_set("c", session_gap_s=5)).fingerprint() != first
    changed = {"actions": actions.head(39)}
    assert Dataset.open(write_set("d", tables=changed)).fingerprint() != first


def test_what_write_dataset_writes_can_be_scanned_unchanged(tmp_path, actions):
    spec = DatasetSpec(name="x", files={}, positive=("buy",), neutral=("view",))
    rows = actions.with_columns(pl.col("timestamp") * 1000)
    for tables in ({"actions": rows}, {"actions": rows.lazy()}):
        dataset = write_dataset(tmp_path / "out", spec, tables)
        assert dataset.scan("actions").select(rows.columns).collect().equals(rows)


def test_nothing_is_left_where_writing_fails(tmp_path, actions):
    spec = DatasetSpec(name="x", files={}, positive=("buy",))
    wrong = actions.lazy().with_columns(pl.col("user_id").cast(pl.Int64))  # fails when it runs
    with pytest.raises(pl.exceptions.PolarsError):
        write_dataset(tmp_path / "out", spec, {"actions": wrong})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named_and_nothing_is_left(tmp_path, actions, monkeypatch):
    full = pl.exceptions.ComputeError("underlying IO error: No space left on device (os error 28)")

    def fail(self, file, **options):  # a full disk cannot be had without being root
        Path(file).write_bytes(b"half a file")
        raise full

    monkeypatch.setattr(pl.LazyFrame, "sink_parquet", fail)
    spec = DatasetSpec(name="x", files={}, positive=("buy",))
    with pytest.raises(StorageError, match=r"cannot write .*out: No space left on device"):
        write_dataset(tmp_path / "out", spec, {"actions": actions.lazy()})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lazy", [False, True])
def test_a_file_beyond_the_size_that_may_be_written_is_named_and_nothing_is_left(tmp_path, lazy):
    rows = pl.DataFrame({"user_id": np.random.default_rng(0).random(50_000)})
    spec = DatasetSpec(name="x", files={}, positive=("buy",))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    try:
        with pytest.raises(StorageError, match=r"cannot write .*out: File too large; raise the "):
            write_dataset(tmp_path / "out", spec, {"actions": rows.lazy() if lazy else rows})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
