"""The commands that a run ends with can be typed as they are printed."""

import argparse
import shlex
from pathlib import Path

import pytest

from homefeed_cli.features import as_in_the_log, as_typed
from homefeed_cli.verb import where_it_lies


def test_the_next_commands_name_the_workspace_that_the_run_was_given() -> None:
    args = argparse.Namespace(
        config=Path("my feed.yaml"),
        profile="gpu",
        overrides=["storage.root=/data/a b", "serving.port=3001", "user_encoder.steps=5"],
    )
    typed = shlex.split(where_it_lies(args))
    assert typed == [
        "--config",
        "my feed.yaml",
        "--profile",
        "gpu",
        "--set",
        "storage.root=/data/a b",
    ]
    nothing = argparse.Namespace(config=None, profile=None, overrides=[])
    assert where_it_lies(nothing) == ""


@pytest.mark.parametrize("user", [42, -7, "42", "-7", "007", "Łukasz 1", "it's", "a;b", "-u12"])
def test_a_user_id_is_printed_as_the_command_line_takes_it(user: int | str) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("user")
    parser.add_argument("--text-id", action="store_true")
    found = parser.parse_args(shlex.split(as_typed(user)))
    assert as_in_the_log(found.user, is_text=found.text_id) == user
