"""Where ``homefeed data check`` and ``homefeed data import`` write, and where they refuse to."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from homefeed.errors import CheckRefused

DATASET = "name: mine\nfiles: {actions: actions.csv}\npositive: [buy]\n"
ROWS = ["anna,B-17,buy,1704103200", "anna,B-18,buy,1704106800", "bo,B-17,buy,1704110400"]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A data set of the user's own, with a file beside its tables, two folders deep."""
    folder = tmp_path / "my" / "folder"
    folder.mkdir(parents=True)
    (folder / "dataset.yaml").write_text(DATASET)
    rows = "\n".join(["user_id,item_id,action_type,timestamp", *ROWS])
    (folder / "actions.csv").write_text(rows + "\n")
    (folder / "notes.txt").write_text("how I exported it\n")
    return folder


def everything(folder: Path) -> dict[str, bytes]:
    """Each file's bytes by its path."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def refused(said: Any, reason: str) -> None:
    """One line of what was wrong, and exit code 2."""
    assert said.code == 2
    assert reason in said.err
    assert "--out" in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


@pytest.mark.parametrize("verb", ["check", "import"])
@pytest.mark.parametrize("out", ["my/folder", "my", ".", "..", "my/folder/", "my/x/../folder"])
def test_data_is_never_replaced_by_what_is_made_from_it(
    verb: str, out: str, homefeed: Any, mine: Path, tmp_path: Path
) -> None:
    before = everything(tmp_path)
    refused(homefeed("data", verb, "my/folder", "--out", out), "the data that is read")
    assert {k: v for k, v in everything(tmp_path).items() if ".homefeed" not in k} == before


def test_a_file_of_sequences_is_not_replaced_by_its_import(homefeed: Any, tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("1 10\n1 11\n2 10\n")
    refused(homefeed("data", "import", "log.txt", "--out", "log.txt"), "the data that is read")
    assert (tmp_path / "log.txt").read_text() == "1 10\n1 11\n2 10\n"


def test_the_default_place_is_refused_too_where_it_is_the_data(
    homefeed: Any, mine: Path, tmp_path: Path
) -> None:
    assert homefeed("data", "check", "my/folder").code == 0
    refused(homefeed("data", "check", ".homefeed/checked/mine"), "the data that is read")
    assert homefeed("data", "check", "my/folder").code == 0


def test_the_folder_that_one_is_in_is_not_replaced(
    homefeed: Any, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    refused(homefeed("data", "check", "../my/folder", "--out", "."), "the folder that you are in")


@pytest.mark.parametrize("verb", ["check", "import"])
def test_a_folder_that_holds_something_else_is_left_as_it_is(
    verb: str, homefeed: Any, mine: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(mine, other)  # it has a dataset.yaml, and is the user's own all the same
    before = everything(other)
    refused(homefeed("data", verb, "my/folder", "--out", "other"), "'actions.csv' and 2 more")
    refused(homefeed("data", verb, "my/folder", "--out", "other/notes.txt"), "it is a file")
    assert everything(other) == before


@pytest.mark.parametrize("verb", ["check", "import"])
def test_the_same_command_can_be_given_twice(
    verb: str, homefeed: Any, mine: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()  # an empty folder is as good as none
    for _ in range(2):
        said = homefeed("data", verb, "my/folder", "--out", "out")
        assert (said.code, said.err) == (0, "")
    assert (tmp_path / "out" / "dataset.yaml").exists()
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != ".homefeed") == ["my", "out"]


@pytest.mark.parametrize("verb", ["check", "import"])
def test_an_output_that_was_changed_since_is_left_as_it_is(
    verb: str, homefeed: Any, mine: Path, tmp_path: Path
) -> None:
    words = ("data", verb, "my/folder", "--out", "out")
    assert homefeed(*words).code == 0
    spec = tmp_path / "out" / "dataset.yaml"
    spec.write_text(spec.read_text() + "# edited by hand\n")
    refused(homefeed(*words), "not just what `homefeed data")
    assert "# edited by hand" in spec.read_text()


def test_a_data_set_is_not_copied_into_itself(homefeed: Any, mine: Path) -> None:
    before = everything(mine)
    said = homefeed("data", "import", "my/folder", "--out", "my/folder/a/b")
    refused(said, "within the data that is copied")
    assert everything(mine) == before


def test_the_report_of_a_refusal_replaces_nothing_but_an_earlier_one(
    homefeed: Any, mine: Path, tmp_path: Path
) -> None:
    with (mine / "actions.csv").open("a") as actions:
        actions.write("bo,B-18,by,1704110400\n")
    words = ("data", "check", "my/folder", "--out", "out")
    for _ in range(2):
        assert homefeed(*words).code == CheckRefused.exit_code
    (tmp_path / "out.refused" / "mail.txt").write_text("to the team\n")
    refused(homefeed(*words), "out.refused")
    assert (tmp_path / "out.refused" / "mail.txt").exists()


def test_a_refusal_leaves_data_alone_that_lies_where_its_report_would_go(
    homefeed: Any, mine: Path
) -> None:
    data = mine.with_name("mine.refused")
    shutil.move(mine, data)
    before = everything(data)
    said = homefeed("data", "check", "my/mine.refused", "--out", "my/mine")
    refused(said, "the data that is read")
    assert everything(data) == before
    assert not mine.exists()


def test_a_check_says_why_rows_were_set_aside(homefeed: Any, mine: Path, tmp_path: Path) -> None:
    rows = [f"u{n % 9},B-{n},buy,{1704103200 + n}" for n in range(98)]
    bad = ["bo,B-18,by,1704110400", "bo,B-18,buy,-5"]
    lines = ["user_id,item_id,action_type,timestamp", *rows, *bad]
    (mine / "actions.csv").write_text("\n".join(lines) + "\n")
    said = homefeed("data", "check", "my/folder")
    assert said.code == 0
    assert "timestamp_out_of_range 1, action_type_unknown 1" in said.out


def test_one_further_failed_expectation_is_told_in_the_singular(homefeed: Any, mine: Path) -> None:
    (mine / "dataset.yaml").write_text(DATASET.replace("buy", "bye"))
    said = homefeed("data", "check", "my/folder")
    assert said.code == CheckRefused.exit_code
    assert "; 1 more expectation fails; mend the rows" in said.err
