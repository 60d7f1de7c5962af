"""The code version follows every source file, uncommitted edits included, and the libraries."""

import re
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest

import homefeed
from pipelines.code_version import LIBRARIES, PACKAGES, ROOT, code_version, commit


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the source files that may be edited."""
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=lambda _, names: _not_python(names)
        )
    return tmp_path


def _not_python(names: list[str]) -> list[str]:
    return [n for n in names if n == "__pycache__" or ("." in n and not n.endswith(".py"))]


def test_the_version_is_the_projects_and_a_hash() -> None:
    assert re.fullmatch(rf"{re.escape(homefeed.__version__)}\+[0-9a-f]{{12}}", code_version())


@pytest.mark.parametrize("package", PACKAGES)
def test_an_uncommitted_edit_in_any_package_changes_it(source: Path, package: str) -> None:
    before = code_version(source)
    file = source / package / "__init__.py"
    file.write_text(file.read_text() + "\n# an edit\n")
    assert code_version(source) != before


def test_an_edit_of_a_file_in_a_folder_below_a_package_changes_it(source: Path) -> None:
    nested = sorted(p for p in (source / "homefeed").rglob("*.py") if p.parent.name != "homefeed")
    before = code_version(source)
    nested[0].write_text(nested[0].read_text() + "\n# an edit\n")
    assert code_version(source) != before


def test_a_new_a_moved_and_a_removed_file_change_it_and_other_files_do_not(source: Path) -> None:
    before = code_version(source)
    (source / "pipelines" / "notes.txt").write_text("not code")
    assert code_version(source) == before
    new = source / "pipelines" / "new.py"
    new.write_text("")
    with_new = code_version(source)
    new.rename(source / "components" / "new.py")
    moved = code_version(source)
    (source / "components" / "new.py").unlink()
    assert len({before, with_new, moved}) == 3
    assert code_version(source) == before


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_upgraded_library_changes_it(library: str) -> None:
    def upgraded(name: str) -> str:
        return f"{version(name)}.1" if name == library else version(name)

    assert code_version(installed=upgraded) != code_version() == code_version(installed=version)


def test_outside_of_a_checkout_the_commit_is_the_code_version(source: Path) -> None:
    assert commit(source) == code_version(source)
