"""``homefeed ab start`` beside tests that run already."""

from pathlib import Path
from typing import Any

import pytest

from homefeed.abtest.definition import parse_definition, write_definition
from homefeed.abtest.running import RUNNING
from homefeed.release import ReleaseRegistry


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Where the command line looks."""
    return tmp_path / ".homefeed"


@pytest.fixture
def releases(registry: ReleaseRegistry, make_manifest: Any) -> None:
    """Two releases, of which the first is the champion."""
    for name in ("first", "second"):
        registry.register(make_manifest(name))
    registry.promote(1, reason="the first of all")


@pytest.mark.usefixtures("releases")
def test_a_test_that_an_older_one_leaves_nobody_is_started_with_a_warning(
    homefeed: Any, tmp_path: Path
) -> None:
    values = {"arms": {"a": {"release": 1}, "b": {"release": 2}}, "primary": {"name": "requests"}}

    def start(name: str) -> Any:
        definition = parse_definition({**values, "name": name, "layer": name})
        write_definition(tmp_path / f"{name}.yaml", definition)
        return homefeed("ab", "start", f"{name}.yaml", "--no-wait", "--json")

    assert "warning" not in start("older").err
    said = start("newer")
    assert (said.code, said.json["status"]) == (0, RUNNING)
    assert "warning: nobody is left for 'newer': older ran before it with traffic 1" in said.err
