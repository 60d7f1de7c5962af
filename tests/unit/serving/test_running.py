"""What the ledger and the running tests ask a server to serve."""

from pathlib import Path
from typing import Any

from homefeed.abtest.definition import parse_definition
from homefeed.abtest.running import definition_path, start_test
from homefeed.release import ReleaseRegistry
from serving.assignment import assign
from serving.running import wanted
from serving.served import Served


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


def test_a_new_test_in_another_layer_takes_no_user_of_an_older_one(
    workspace: Path, registry: ReleaseRegistry, make_manifest: Any
) -> None:
    for name in ("first", "second"):
        registry.register(make_manifest(name))
    registry.promote(1, reason="the first of all")
    values = {
        "arms": {"a": {"release": 1}, "b": {"release": 2}},
        "primary": {"name": "requests"},
        "traffic": 0.5,
    }
    users = [f"i:{user}" for user in range(400)]

    def assigned() -> dict[str, str | None]:
        asked = wanted(workspace)
        served = Served(champion=1, releases={1: "one", 2: "two"}, tests=asked.tests)
        return {user: assign(served, user).test for user in users}

    def start(name: str, at_s: float) -> None:
        started = parse_definition({**values, "name": name, "layer": name})
        start_test(workspace, started, at_s=at_s)

    start("zebra", 5.0)
    before = [user for user, test in assigned().items() if test == "zebra"]
    start("ant", 6.0)
    after = assigned()
    assert [user for user, test in after.items() if test == "zebra"] == before
    assert 60 < list(after.values()).count("ant") < 140  # half of those that are left
