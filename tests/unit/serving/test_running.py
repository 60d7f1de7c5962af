"""What the ledger and the running tests ask a server to serve."""

from pathlib import Path
from typing import Any

from homefeed.abtest.definition import parse_definition
from homefeed.abtest.running import definition_path, start_test
from homefeed.release import ReleaseRegistry
from serving.running import wanted


def test_a_test_that_was_edited_is_a_problem_and_the_others_are_served(
    workspace: Path, registry: ReleaseRegistry, make_manifest: Any
) -> None:
    for name in ("first", "second"):
        registry.register(make_manifest(name))
    registry.promote(1, reason="the first of all")
    values = {"arms": {"a": {"release": 1}, "b": {"release": 2}}, "primary": {"name": "requests"}}
    for name in ("edited", "sound"):
        start_test(workspace, parse_definition({**values, "name": name, "layer": name}), at_s=5.0)
    path = definition_path(workspace, "edited")
    path.write_text(path.read_text().replace("release: 2", "release: 1"))
    asked = wanted(workspace)
    assert asked.champion == 1
    assert [test.name for test in asked.tests] == ["sound"]
    (problem,) = asked.problems
    assert "edited.yaml was changed" in problem
