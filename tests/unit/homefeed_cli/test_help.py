"""Help reads like documentation, and wrong words are answered in one line."""

import argparse
import json
import shlex
import subprocess
import sys
from typing import Any

import pytest

from homefeed_cli.main import DESCRIPTION, parser


def _verbs(top: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Every verb by its words, groups opened: ``pipeline run`` → its parser."""
    found = {}
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                inner = _verbs(below)
                found |= {f"{name} {words}": p for words, p in inner.items()} or {name: below}
    return found


VERBS = _verbs(parser())


def test_the_verbs_of_the_documentation_are_there() -> None:
    named = "run|promote|rollback|history|serve|doctor|features get|features retire|config show|"
    named += "data show|data import|data check|ab start|ab status|ab analyze|ab stop|"
    named += "pipeline run|pipeline list|pipeline status|pipeline logs|pipeline compile|"
    named += "pipeline clean|pipeline upload|pipeline submit|pipeline schedule"
    assert set(named.split("|")) == set(VERBS)


@pytest.mark.parametrize("words", VERBS)
def test_a_verb_says_what_it_does_with_an_example_that_parses_and_takes_json(
    words: str, homefeed: Any
) -> None:
    said = homefeed(*words.split(), "--help")
    assert said.code == 0
    assert said.out.startswith(f"usage: homefeed {words} ")
    assert VERBS[words].description in " ".join(said.out.split())
    example = said.out.split("example:\n")[1].strip()
    program, *rest = shlex.split(example)
    assert program == "homefeed"
    assert " ".join(rest).startswith(words)
    parsed = parser().parse_args([*rest, "--json"])
    assert parsed.json


def test_a_day_can_be_submitted_and_not_scheduled() -> None:
    assert "--date" in VERBS["pipeline submit"].format_help()
    assert "--date" not in VERBS["pipeline schedule"].format_help()


@pytest.mark.parametrize("line", [i for i in DESCRIPTION.splitlines() if i.startswith("  ")])
def test_every_example_of_the_first_page_parses(line: str) -> None:
    words = shlex.split(line[line.index("homefeed ") :])[1:]
    parser().parse_args(words)
    assert any(line.split()[0] in verb.split() for verb in VERBS)


def test_no_words_print_the_first_page(homefeed: Any) -> None:
    said = homefeed()
    assert said.code == 0
    assert said.out == homefeed("--help").out
    codes = " ".join(said.out.partition("Exit codes: ")[2].split())
    assert codes.startswith("0 done (a verdict of hold or roll back included), 2 something")
    assert "3 refused by a data check or by the promotion gate, 130 interrupted." in codes


@pytest.mark.parametrize("words", ["data import", "data check"])
def test_where_a_verb_writes_when_it_is_not_told_is_in_its_help(words: str) -> None:
    said = " ".join(VERBS[words].format_help().split())
    assert "in storage.root)" in said.partition("--out OUT a new folder")[2]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("pipeline lst --json", "'lst'; did you mean 'list'?"),
        ("promote --json 3", "required: --reason"),
        ("history --json --sinse 2025", "unrecognized arguments: --sinse 2025"),
    ],
)
def test_wrong_words_under_json_are_a_document_too(words: str, expected: str) -> None:
    command = [sys.executable, "-m", "homefeed_cli.main", *words.split()]
    done = subprocess.run(command, capture_output=True, text=True)
    said = json.loads(done.stdout)
    assert done.returncode == said["exit_code"] == 2
    assert said["error"] == "UsageError"
    assert expected in said["message"]
    assert done.stderr == f"homefeed: {said['message']}\n"


def test_the_version_is_printed(homefeed: Any) -> None:
    assert homefeed("--version").out.startswith("homefeed 0.")
