import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homefeed.data.adapters import plain_sequences
from homefeed.data.contract import resolve
from homefeed.errors import DatasetError


def test_a_sequence_file_is_imported_by_naming_it(tmp_path):
    file = tmp_path / "ml-1m.txt"
    file.write_text("1 5\n1 6\n2 5\n2 7\n2 9\n")
    dataset = resolve(str(file), tmp_path / "workspace")
    rows = dataset.scan("actions").collect()
    assert dataset.spec.name == "ml-1m"
    assert list(zip(rows["user_id"], rows["item_id"], strict=True)) == [
        (1, 5), (1, 6), (2, 5), (2, 7), (2, 9)
    ]  # fmt: skip
    assert not rows["time_known"].any()
    assert any("no times" in note for note in dataset.spec.notes)


def test_the_last_actions_of_all_users_share_one_nominal_time(tmp_path):
    file = tmp_path / "x.txt"
    file.write_text("1 5\n1 6\n2 5\n2 7\n2 9\n")
    rows = plain_sequences.tables(file)[1]["actions"]
    last = rows.group_by("user_id").agg(pl.col("timestamp").max())["timestamp"]
    assert last.n_unique() == 1
    assert rows["timestamp"].diff().to_list()[1] == 86_400_000


pairs = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 99)), min_size=1, max_size=50)


@given(pairs, st.sampled_from([" ", "\t", ",", "  "]))
def test_order_within_a_user_is_the_order_of_the_file(tmp_path_factory, pairs, separator):
    file = tmp_path_factory.mktemp("s") / "x.txt"
    file.write_text("".join(f"{user}{separator}{item}\n" for user, item in pairs))
    rows = plain_sequences.tables(file)[1]["actions"].sort("timestamp", maintain_order=True)
    for user in {user for user, _ in pairs}:
        mine = rows.filter(pl.col("user_id") == user)
        assert mine["item_id"].to_list() == [item for other, item in pairs if other == user]
        assert mine["timestamp"].is_unique().all()


def test_a_history_longer_than_the_calendar_stays_after_1970(tmp_path):
    file = tmp_path / "x.txt"
    file.write_text("1 5\n" * 30_000)
    assert plain_sequences.tables(file)[1]["actions"]["timestamp"].min() > 0


def test_ids_that_are_not_numbers_stay_text(tmp_path):
    file = tmp_path / "x.txt"
    file.write_text("A1 007\nÜ2 B2\n")
    rows = plain_sequences.tables(file)[1]["actions"]
    assert rows["user_id"].to_list() == ["A1", "Ü2"]
    assert rows["item_id"].to_list() == ["007", "B2"]


def test_a_line_of_three_words_is_named_by_its_number(tmp_path):
    file = tmp_path / "x.txt"
    file.write_text("1 5\n\n1 6 7\n")
    with pytest.raises(DatasetError, match=r"x\.txt:3 is '1 6 7'; every line must hold"):
        plain_sequences.tables(file)


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
    assert tables["actions"].equals(plain_sequences.tables(without)[1]["actions"])
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
def test_a_first_line_that_may_be_an_action_is_one(tmp_path, lines):
    file = tmp_path / "x.txt"
    file.write_text(lines)
    assert plain_sequences.tables(file)[1]["actions"].height == lines.count("\n")


def test_a_header_and_nothing_else_is_refused(tmp_path):
    file = tmp_path / "x.txt"
    file.write_text("user item\n")
    with pytest.raises(DatasetError, match=r"x\.txt holds a header and no `user item` line"):
        plain_sequences.tables(file)


def test_quotes_around_a_word_are_no_part_of_the_id(tmp_path):
    file = tmp_path / "x.csv"
    file.write_text('"1","5"\n"2","6"\n')
    assert plain_sequences.tables(file)[1]["actions"]["item_id"].to_list() == [5, 6]


def test_blank_lines_before_the_first_action_are_passed_over(tmp_path):
    file = tmp_path / "x.txt"
    file.write_text("\n \n1 5\n1 6\n")
    assert plain_sequences.recognises(file)
    assert plain_sequences.tables(file)[1]["actions"].height == 2


def test_a_file_of_other_lines_is_told_its_first(tmp_path):
    file = tmp_path / "ratings.txt"
    file.write_text("1 5 4.0\n")
    with pytest.raises(DatasetError, match=r"its first line is '1 5 4\.0', not `user item`"):
        resolve(str(file), tmp_path / "workspace")
