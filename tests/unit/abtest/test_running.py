import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from homefeed.abtest.definition import parse_definition, write_definition
from homefeed.abtest.running import (
    RUNNING,
    STOPPED,
    definition_of,
    definition_path,
    full_tests_before,
    running_definitions,
    start_test,
    state_of,
    stop_test,
)
from homefeed.errors import ConfigError


def definition(name="t", **changes):
    values = {
        "name": name,
        "arms": {"control": {"release": 1}, "treatment": {"release": 2}},
        "primary": {"name": "likes", "actions": ["like"]},
    }
    return parse_definition({**values, **changes})


def test_a_started_test_runs_until_it_is_stopped(tmp_path):
    assert running_definitions(tmp_path).definitions == ()
    start_test(tmp_path, definition(), at_s=5.0)
    assert running_definitions(tmp_path).definitions == (definition(),)
    stop_test(tmp_path, "t", at_s=9.0, reason="shipped")
    assert running_definitions(tmp_path).definitions == ()
    state = state_of(tmp_path, "t")
    assert (state.started_s, state.stopped_s, state.reason) == (5.0, 9.0, "shipped")


def test_starting_and_stopping_again_changes_nothing(tmp_path):
    first = start_test(tmp_path, definition(), at_s=5.0)
    assert start_test(tmp_path, definition(), at_s=6.0) == first
    stopped = stop_test(tmp_path, "t", at_s=9.0, reason="a")
    assert stop_test(tmp_path, "t", at_s=10.0, reason="b") == stopped


def test_a_name_is_used_once(tmp_path):
    start_test(tmp_path, definition(), at_s=5.0)
    with pytest.raises(ConfigError, match="'t' is running already; give the new one another name"):
        start_test(tmp_path, definition(traffic=0.5), at_s=6.0)
    stop_test(tmp_path, "t", at_s=9.0, reason="held")
    with pytest.raises(ConfigError, match="'t' is stopped already"):
        start_test(tmp_path, definition(), at_s=10.0)


def test_one_test_runs_in_a_layer(tmp_path):
    start_test(tmp_path, definition(), at_s=5.0)
    with pytest.raises(ConfigError, match="test 't' runs in layer 'default'"):
        start_test(tmp_path, definition("u"), at_s=6.0)
    start_test(tmp_path, definition("u", layer="other"), at_s=6.0)
    assert [each.name for each in running_definitions(tmp_path).definitions] == ["t", "u"]


def test_an_older_test_comes_before_a_newer_one_whatever_their_names_and_clocks_say(tmp_path):
    for name, at_s in (("m", 5.0), ("z", 2_000_000_000.0), ("a", 6.0), ("c", 6.0)):
        start_test(tmp_path, definition(name, layer=name, traffic=0.5), at_s=at_s)
    names = [each.name for each in running_definitions(tmp_path).definitions]
    assert names == ["m", "z", "a", "c"]


def test_tests_whose_order_was_not_counted_yet_stay_before_later_ones_by_their_time(tmp_path):
    for name, at_s in (("m", 7.0), ("a", 6.0)):
        start_test(tmp_path, definition(name, layer=name, traffic=0.5), at_s=at_s)
        path = tmp_path / "abtests" / f"{name}.state.json"
        state = json.loads(path.read_text())
        del state["order"]
        path.write_text(json.dumps(state))
    start_test(tmp_path, definition("z", traffic=0.5), at_s=5.0)
    names = [each.name for each in running_definitions(tmp_path).definitions]
    assert names == ["a", "m", "z"]


def test_a_test_beside_an_older_one_with_all_traffic_is_left_nobody(tmp_path):
    start_test(tmp_path, definition("half", layer="1", traffic=0.5), at_s=5.0)
    start_test(tmp_path, definition("z", layer="2"), at_s=6.0)
    start_test(tmp_path, definition("a", layer="3"), at_s=7.0)
    taken = {name: full_tests_before(tmp_path, name) for name in ("half", "z", "a", "unknown")}
    assert taken == {"half": [], "z": [], "a": ["z"], "unknown": []}


def test_of_two_tests_started_at_once_in_a_layer_one_runs(tmp_path):
    def started(turn: int, name: str) -> bool:
        try:
            return bool(start_test(tmp_path / str(turn), definition(name), at_s=5.0))
        except ConfigError:
            return False

    with ThreadPoolExecutor(2) as pool:
        for turn in range(20):
            assert sorted(pool.map(started, (turn, turn), ("t", "u"))) == [False, True]


def test_a_definition_that_was_changed_under_its_test_is_refused(tmp_path):
    start_test(tmp_path, definition(), at_s=5.0)
    write_definition(definition_path(tmp_path, "t"), definition(traffic=0.1))
    with pytest.raises(ConfigError, match=r"t\.yaml was changed after test 't' was started"):
        definition_of(tmp_path, "t")


BROKEN = {
    "t.yaml": ("name: [", "is not YAML"),
    "t.state.json": ('{"status": "running"}', "is not a test's state"),
}


@pytest.mark.parametrize("file", BROKEN)
def test_a_broken_test_does_not_stop_the_others_and_is_named(tmp_path, file):
    start_test(tmp_path, definition(), at_s=5.0)
    start_test(tmp_path, definition("u", layer="other"), at_s=6.0)
    text, said = BROKEN[file]
    (tmp_path / "abtests" / file).write_text(text)
    running = running_definitions(tmp_path)
    assert [each.name for each in running.definitions] == ["u"]
    (problem,) = running.problems
    assert problem.startswith("test 't' cannot be read:")
    assert file in problem
    assert said in problem
    assert stop_test(tmp_path, "u", at_s=9.0, reason="held").status == STOPPED


def test_a_state_that_is_no_text_is_named(tmp_path):
    start_test(tmp_path, definition(), at_s=5.0)
    (tmp_path / "abtests" / "t.state.json").write_bytes(b"\xff\xfe")
    assert "t.state.json is not a test's state" in running_definitions(tmp_path).problems[0]


@pytest.mark.parametrize(("field", "was"), [("started_s", "5.0"), ("order", "1")])
def test_a_start_that_is_no_time_or_number_stops_no_other_test(tmp_path, field, was):
    for name in ("t", "u"):
        start_test(tmp_path, definition(name, layer=name), at_s=5.0)
    path = tmp_path / "abtests" / "t.state.json"
    path.write_text(path.read_text().replace(f'"{field}": {was}', f'"{field}": null'))
    running = running_definitions(tmp_path)
    assert [each.name for each in running.definitions] == ["u"]
    assert f"{field} is None" in running.problems[0]


def test_no_test_is_started_beside_a_broken_one_whose_layer_nobody_knows(tmp_path):
    start_test(tmp_path, definition(), at_s=5.0)
    definition_path(tmp_path, "t").write_text("name: [")
    with pytest.raises(ConfigError, match="no test is started beside one that is broken: test 't'"):
        start_test(tmp_path, definition("u"), at_s=6.0)
    stop_test(tmp_path, "t", at_s=7.0, reason="its definition is lost")
    assert start_test(tmp_path, definition("u"), at_s=8.0).status == RUNNING


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match="a test's name is a file's name"):
        start_test(tmp_path, definition(name), at_s=1.0)


def test_an_unknown_test_cannot_be_stopped(tmp_path):
    with pytest.raises(ConfigError, match="there is no test 'x'; known: none"):
        stop_test(tmp_path, "x", at_s=1.0, reason="")
