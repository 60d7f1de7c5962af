"""Which files are a table, and how its parts become one."""

import polars as pl
import pytest
import yaml

from homefeed.config import ChecksConfig
from homefeed.data.checks import check
from homefeed.data.contract import Dataset
from homefeed.errors import DatasetError


@pytest.fixture
def open_parts(write_set):
    """Write a table of actions in parts, given by file name; open the set."""

    def run(files: str = "days", **parts: pl.DataFrame) -> Dataset:
        root = write_set("parts")
        for name, rows in parts.items():
            file = root / "days" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            rows.write_csv(file) if name.lower().endswith("csv") else rows.write_parquet(file)
        values = yaml.safe_load((root / "dataset.yaml").read_text())
        (root / "dataset.yaml").write_text(yaml.safe_dump({**values, "files": {"actions": files}}))
        return Dataset.open(root)

    return run


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_a_folder_with_brackets_in_its_name_is_read_and_not_the_one_it_would_match(
    open_set, actions, ending
):
    open_set("shop1", tables={"actions": actions.head(5)}, ending=ending)
    meant = open_set("shop[1]", tables={"actions": actions}, ending=ending)
    assert meant.scan("actions").collect().height == actions.height


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_parts_may_differ_in_their_columns_and_in_the_order_of_these(open_parts, actions, ending):
    second = actions[10:20].select(reversed(actions.columns)).with_columns(surface=pl.lit("home"))
    third = actions[20:].with_columns(not_ours=pl.lit(1))
    parts = dict(zip("abc", (actions[:10], second, third), strict=True))
    dataset = open_parts(**{f"{name}.{ending}": rows for name, rows in parts.items()})
    found = dataset.scan("actions").collect()
    assert found.select(actions.columns[:3]).equals(actions.select(actions.columns[:3]))
    assert found["surface"].to_list() == [""] * 10 + ["home"] * 10 + [""] * 20
    assert dataset.columns("actions")[-1] == "surface"


def test_parts_may_hold_whole_numbers_of_different_widths(open_parts, actions):
    narrow = actions[:10].with_columns(pl.col("item_id").cast(pl.Int32))
    dataset = open_parts(**{"a.parquet": narrow, "b.parquet": actions[10:]})
    assert dataset.scan("actions").collect()["item_id"].equals(actions["item_id"])


def test_whole_numbers_that_a_database_wrote_as_decimals_are_whole_numbers(open_parts, actions):
    decimals = actions[:10].with_columns(pl.col("item_id").cast(pl.Decimal(38, 0)))
    dataset = open_parts(**{"a.parquet": decimals, "b.parquet": actions[10:]})
    assert dataset.scan("actions").collect()["item_id"].equals(actions["item_id"])


def test_seconds_that_a_database_wrote_as_decimals_keep_their_fraction(open_parts, actions):
    halves = pl.col("timestamp").cast(pl.Decimal(18, 3)) + pl.lit("0.5").cast(pl.Decimal(18, 3))
    dataset = open_parts(**{"a.parquet": actions.with_columns(halves)})
    expected = actions["timestamp"] * 1000 + 500
    assert dataset.scan("actions").collect()["timestamp"].equals(expected)


def test_a_link_to_a_folder_that_holds_it_is_refused_and_not_read_again(open_parts, actions):
    root = open_parts(**{"a.parquet": actions}).root
    (root / "days" / "all").symlink_to(root / "days")
    with pytest.raises(DatasetError, match=r"days/all is a link to .*days, which holds it"):
        Dataset.open(root)


def test_what_other_programs_leave_beside_the_parts_is_passed_over(open_parts, actions):
    more = {"_metadata.parquet": actions, ".half.parquet": actions, "notes.txt": actions}
    dataset = open_parts(**{"a.parquet": actions}, **more)
    assert dataset.scan("actions").collect().height == actions.height


@pytest.mark.parametrize("files", ["days", "days/*", "days/date=*"])
@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_parts_may_lie_in_folders_by_day(open_parts, actions, files, ending):
    parts = {f"date=2024-01-0{day}/part-0.{ending}": actions[day * 10 :][:10] for day in range(4)}
    beside = {f"_tmp/part-0.{ending}": actions, "date=2024-01-00/.part-0.parquet": actions}
    dataset = open_parts(files, **parts, **beside)
    found = dataset.scan("actions").collect()
    assert found.select(actions.columns[:3]).equals(actions.select(actions.columns[:3]))
    before = dataset.fingerprint()
    (dataset.root / "days" / "date=2024-01-03" / f"part-0.{ending}").unlink()
    assert dataset.fingerprint() != before


@pytest.mark.parametrize("column", ["surface", "action_type"])
def test_a_column_that_only_folders_name_is_refused_and_not_left_out(open_parts, actions, column):
    rows = actions.drop(column, strict=False)
    with pytest.raises(DatasetError, match=rf"`{column}` .* only in the names of folders"):
        open_parts(**{f"{column}=buy/part-0.parquet": rows})


def test_a_folder_above_the_table_names_no_column(write_set):
    assert Dataset.open(write_set("surface=home")).columns("actions")[-1] == "timestamp"


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_a_csv_that_parts_its_columns_otherwise_is_told_what_to_export(write_set, actions, mark):
    root = write_set(files={"actions": "actions.csv"})
    actions.write_csv(root / "actions.csv", separator=mark)
    with pytest.raises(DatasetError) as refused:
        Dataset.open(root)
    told = f"actions.csv parts its columns with {mark!r}: 'user_id{mark}item_id"
    assert told.replace("\t", "\\t") in str(refused.value)


def test_a_csv_whose_lines_end_with_carriage_returns_alone_is_told_so_in_one_short_line(
    write_set, actions
):
    root = write_set(files={"actions": "actions.csv"})
    (root / "actions.csv").write_text(actions.write_csv().replace("\n", "\r"), newline="")
    with pytest.raises(DatasetError, match="ends its lines with carriage returns alone"):
        Dataset.open(root)


def test_a_file_of_many_columns_that_lacks_one_does_not_list_them_all(write_set, actions):
    wide = actions.drop("user_id").with_columns(pl.lit(0).alias(f"c{n}") for n in range(1000))
    with pytest.raises(DatasetError, match=r"it has: item_id, .*, c26, and 973 more; say under"):
        Dataset.open(write_set(tables={"actions": wide}))


def test_endings_may_be_in_capitals(open_parts, actions):
    assert open_parts(**{"A.CSV": actions}).scan("actions").collect().height == actions.height


def test_a_file_whose_ending_says_nothing_is_refused_with_those_that_do(write_set):
    root = write_set(files={"actions": "actions.jsonl"})
    (root / "actions.jsonl").write_text("{}\n")
    with pytest.raises(DatasetError, match=r"actions\.jsonl has no ending .*\.parquet, \.csv"):
        Dataset.open(root)


@pytest.mark.parametrize("name", ["b.csv", "b.tsv", "B.CSV.GZ"])
def test_a_parquet_file_that_is_named_as_text_is_told_its_name(open_parts, actions, name):
    root = open_parts(**{"a.csv": actions}).root
    actions.write_parquet(root / "days" / name)
    with pytest.raises(DatasetError) as refused:
        Dataset.open(root)
    told = f"{root / 'days' / name}: this is a Parquet file; name it .parquet"
    assert str(refused.value) == told


def test_a_csv_in_utf_16_is_told_to_be_saved_as_utf_8(open_parts, actions):
    root = open_parts(**{"a.csv": actions}).root
    file = root / "days" / "a.csv"
    file.write_bytes(file.read_bytes().decode().encode("utf-16"))
    with pytest.raises(DatasetError) as refused:
        Dataset.open(root)
    assert str(refused.value) == f"{file} is UTF-16 text; save it as UTF-8"


def test_a_column_name_with_spaces_around_it_is_shown_with_them(open_parts, actions):
    with pytest.raises(DatasetError, match=r"no column `item_id` .* it has: user_id, ' item_id', "):
        open_parts(**{"a.csv": actions.rename({"item_id": " item_id"})})


def test_a_part_that_cannot_be_read_is_named(open_parts, write_set, actions):
    root = open_parts(**{"a.parquet": actions, "b.parquet": actions}).root
    (root / "days" / "b.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DatasetError, match=r"b\.parquet is not a readable Parquet file"):
        Dataset.open(root)


@pytest.mark.parametrize(
    ("found", "put", "told"),
    [
        (b"view", b"vi\xe9w", "save it as UTF-8"),
        (b"view", b"view,1,2,3", "a line has more fields than the header"),
    ],
)
def test_another_encoding_and_a_line_of_too_many_fields_are_named(
    open_set, actions, tmp_path, found, put, told
):
    dataset = open_set("shop", tables={"actions": actions}, ending="csv")
    file = dataset.root / "actions.csv"
    file.write_bytes(file.read_bytes().replace(found, put, 1))
    with pytest.raises(DatasetError, match=told):
        check(Dataset.open(dataset.root), tmp_path / "out", ChecksConfig(), 1_750_000_000)
