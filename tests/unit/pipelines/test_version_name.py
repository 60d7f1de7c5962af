"""Names of compiled pipelines, in a real checkout of this code."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.code_version import PACKAGES

ROOT = Path(__file__).parents[3]
ASK = "from pipelines.compiled import version_name; print(version_name())"


def run(folder: Path, *command: str) -> str:
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return said.stdout.strip()


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    return run(folder, "git", *who, *words)


def asked(folder: Path) -> str:
    return run(folder, sys.executable, "-c", ASK)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The packages in a repository with one commit; Python prefers the working folder's."""
    for package in PACKAGES:
        skip = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=skip)
    (tmp_path / ".gitignore").write_text("__pycache__/\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "all")
    return tmp_path


def test_a_version_is_named_by_project_and_commit(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "--short=12", "HEAD")
    assert asked(checkout) == f"0.1.0-{head}"


def test_two_edited_trees_of_one_commit_have_two_names(checkout: Path) -> None:
    head, names = git(checkout, "rev-parse", "--short=12", "HEAD"), set()
    for edit in ("# once\n", "# twice\n"):
        with (checkout / "homefeed" / "clock.py").open("a") as source:
            source.write(edit)
        name = asked(checkout)
        assert name.startswith(f"0.1.0-{head}-dirty-")
        assert len(name.rpartition("-")[2]) == 6
        names.add(name)
    assert len(names) == 2


def test_a_tag_does_not_hide_the_commit(checkout: Path) -> None:
    git(checkout, "tag", "-a", "v0.1.0", "-m", "the first")
    head = git(checkout, "rev-parse", "--short=12", "HEAD")
    assert asked(checkout) == f"0.1.0-{head}"
