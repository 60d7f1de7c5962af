from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homefeed.data.adapters import plain_sequences
from homefeed.data.contract import resolve
from homefeed.errors import DatasetError

FILE = "1 5\n1 6\n2 5\n2 7\n2 9\n"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a file of this content; returns its path."""

    def write(content: str, name: str = "x.txt") -> Path:
        (tmp_path / name).write_text(content, encoding="utf-8")
        return tmp_path / name

    return write


def actions_of(file: Path) -> pl.DataFrame:
    return plain_sequences.tables(file)[1]["actions"]


def test_a_sequence_file_is_imported_by_naming_it(write, tmp_path):
    dataset = resolve(str(write(FILE, "ml-1m.txt")), tmp_path / "workspace")
    rows = dataset.scan("actions").collect()
    assert dataset.spec.name == "ml-1m"
    assert list(zip(rows["user_id"], rows["item_id"], strict=True)) == [
        (1, 5), (1, 6), (2, 5), (2, 7), (2, 9)
    ]  # fmt: skip
    assert not rows["time_known"].any()
    assert any("no times" in note for note in dataset.spec.notes)


def test_the_last_actions_of_all_users_share_one_nominal_time(write):
    rows = actions_of(write(FILE))
    last = rows.group_by("user_id").agg(pl.col("timestamp").max())["timestamp"]
    assert last.n_unique() == 1
    assert rows["timestamp"].diff().to_list()[1] == 86_400_000


pairs = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 99)), min_size=1, max_size=50)


@given(pairs, st.sampled_from([" ", "\t", ",", "  "]))
def test_order_within_a_user_is_the_order_of_the_file(tmp_path_factory, pairs, separator):
    file = tmp_path_factory.mktemp("s") / "x.txt"
    file.write_text("".join(f"{user}{separator}{item}\n" for user, item in pairs))
    rows = actions_of(file).sort("timestamp", maintain_order=True)
    for user in {user for user, _ in pairs}:
        mine = rows.filter(pl.col("user_id") == user)
        assert mine["item_id"].to_list() == [item for other, item in pairs if other == user]
        assert mine["timestamp"].is_unique().all()


def test_a_history_longer_than_the_calendar_stays_after_1970(write):
    assert actions_of(write("1 5\n" * 30_000))["timestamp"].min() > 0


def test_ids_that_are_not_numbers_stay_text(write):
    rows = actions_of(write("A1 007\nÜ2 B2\n"))
    assert rows["user_id"].to_list() == ["A1", "Ü2"]
    assert rows["item_id"].to_list() == ["007", "B2"]


def test_a_line_of_three_words_is_named_by_its_number(write):
    with pytest.raises(DatasetError, match=r"x\.txt:3 is '1 6 7'; every line must hold"):
        plain_sequences.tables(write("1 5\n\n1 6 7\n"))


def test_a_file_of_other_content_is_not_taken_for_sequences(tmp_path):
    for name, content in {"a": b"one two three\n", "b": b"\xff\xfe\x00", "c": b""}.items():
        (tmp_path / name).write_bytes(content)
        assert not plain_sequences.recognises(tmp_path / name)


HEADERS = {
    "user item": "0 5",
    "user_id,item_id": "A1,B2",
    "UserID\titemId": "ü\t5",
    "\ufeffuser_id:token\titem_id:token": "0\t5",
    '"user_id","item_id"': '"0","5"',
    "用户 物品": "0 5",
}


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r\n \r\n"])
@pytest.mark.parametrize(("header", "line"), HEADERS.items())
def test_a_header_is_no_action_and_the_notes_say_so(tmp_path, header, line, ending):
    with_header, without = tmp_path / "a.txt", tmp_path / "b.txt"
    with_header.write_text(f"{header}{ending}{line}{ending}{line}{ending}", encoding="utf-8")
    without.write_text(f"{line}\n{line}\n", encoding="utf-8")
    spec, tables = plain_sequences.tables(with_header)
    assert tables["actions"].equals(actions_of(without))
    assert spec.notes[-1].endswith("names the columns and is no action")
    assert plain_sequences.tables(without)[0].notes == plain_sequences.NOTES


@pytest.mark.parametrize(
    "lines",
    [
        "user item\nuser book\nanna item\n",  # ids that come again
        "anna mug\nben lamp\n",  # words among words
        "A1 B2\n2 5\n2 6\n",  # ids with digits before whole numbers
        "anna mug\n2 5\n2 B6\n",
        "anna mug\n",
    ],
)
def test_a_first_line_that_may_be_an_action_is_one(write, lines):
    assert actions_of(write(lines)).height == lines.count("\n")


def test_a_header_and_nothing_else_is_refused(write):
    with pytest.raises(DatasetError, match=r"x\.txt holds a header and no `user item` line"):
        plain_sequences.tables(write("user item\n"))


def test_quotes_around_a_word_are_no_part_of_the_id(write):
    assert actions_of(write('"1","5"\n"2","6"\n', "x.csv"))["item_id"].to_list() == [5, 6]


def test_blank_lines_before_the_first_action_are_passed_over(write):
    file = write("\n \n1 5\n1 6\n")
    assert plain_sequences.recognises(file)
    assert actions_of(file).height == 2


def test_a_file_of_other_lines_is_told_its_first(write, tmp_path):
    with pytest.raises(DatasetError, match=r"its first line is '1 5 4\.0', not `user item`"):
        resolve(str(write("1 5 4.0\n", "ratings.txt")), tmp_path / "workspace")


def test_a_file_in_another_encoding_is_told_to_be_saved_as_utf_8(tmp_path):
    (tmp_path / "log.txt").write_bytes("1 5\n1 café\n".encode("latin-1"))
    with pytest.raises(DatasetError, match=r"log\.txt looks like sequences .*save it as UTF-8$"):
        resolve(str(tmp_path / "log.txt"), tmp_path / "workspace")
