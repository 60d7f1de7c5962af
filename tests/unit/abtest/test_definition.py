import math

import pytest

from homefeed.abtest.definition import (
    Arm,
    Metric,
    parse_definition,
    read_definition,
    write_definition,
)
from homefeed.errors import ConfigError

TEXT = """
name: realtime
arms:
  control: {release: 3}
  realtime: {release: 4, weight: 2}
traffic: 0.5
layer: ranking
primary: {name: positives, actions: [click, like]}
guardrails:
  - {name: hides, actions: [hide], per: request, direction: down, max_harm: 0.02}
min_effect: 0.01
"""
VALUES = {
    "name": "t",
    "arms": {"a": {"release": 1}, "b": {"release": 2}},
    "primary": {"name": "clicks", "actions": ["click"]},
}


def test_a_definition_is_read_from_yaml(tmp_path):
    (tmp_path / "t.yaml").write_text(TEXT)
    definition = read_definition(tmp_path / "t.yaml")
    assert definition.arms == {"control": Arm(release=3), "realtime": Arm(release=4, weight=2.0)}
    assert definition.primary == Metric(name="positives", actions=("click", "like"))
    assert definition.guardrails[0].direction == "down"
    assert (definition.control_arm, definition.treatments) == ("control", ("realtime",))
    assert definition.key == "ranking/realtime"


def test_a_written_definition_reads_back_equal(tmp_path):
    (tmp_path / "t.yaml").write_text(TEXT)
    definition = read_definition(tmp_path / "t.yaml")
    write_definition(tmp_path / "copy.yaml", definition)
    assert read_definition(tmp_path / "copy.yaml") == definition
    assert read_definition(tmp_path / "copy.yaml").hash == definition.hash


def test_any_change_of_the_definition_changes_its_hash():
    one = parse_definition(VALUES)
    other = parse_definition({**VALUES, "salt": "x"})
    assert one.hash != other.hash


def test_arms_in_another_order_are_another_test():
    one = parse_definition(VALUES)
    other = parse_definition({**VALUES, "arms": dict(reversed(VALUES["arms"].items()))})
    assert (one.control_arm, other.control_arm) == ("a", "b")
    assert one.hash != other.hash


def _weighing(weight):
    return {"arms": {"a": {"release": 1, "weight": weight}, "b": {"release": 2}}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trafic": 0.5}, "did you mean 'traffic'"),
        ({"primary": {"name": "x", "action": ["a"]}}, "'primary.action'; did you mean 'actions'"),
        ({"arms": {"a": {"release": 1, "wait": 2}, "b": {"release": 2}}}, "unknown key"),
        ({"arms": {"a": {"release": "champion"}, "b": {"release": 2}}}, "alias can move"),
        ({"arms": {"a": {"release": 1}}}, "t.yaml: a test needs two arms or more, found 1"),
        ({"arms": {"a": {}, "b": {"release": 2}}}, "arm: `release` is missing"),
        ({"arms": {"a": {"release": 1, "weight": 0}, "b": {"release": 2}}}, "weight must be above"),
        ({"control": "c"}, "control 'c' is no arm"),
        ({"traffic": 0}, "traffic must lie between 0 and 1"),
        ({"traffic": 1.5}, "found 1.5"),
        ({"confidence": 1.0}, "confidence must lie"),
        ({"primary": {"name": "x", "actions": ["a"], "per": "day"}}, "per must be user or request"),
        ({"primary": {"name": "x", "actions": ["a"], "direction": "left"}}, "direction"),
        ({"primary": {"name": "x", "per": "request"}}, "requests per request"),
        ({"guardrails": [{"name": "clicks", "actions": ["like"]}]}, "'clicks' is there twice"),
        ({"name": ""}, "`name` is missing"),
        (
            {"primary": None, "primry": {"name": "x"}},
            "unknown key 'primry'; did you mean 'primary'",
        ),
        ({"min_effect": "much"}, "min_effect must be a number"),
        (
            {"arms": {"a": {"release": 2**63}, "b": {"release": 2}}},
            "release must be a version's number, found 9223372036854775808",
        ),
        (_weighing(math.nan), "weight must be above 0 and finite, found nan"),
        (_weighing(math.inf), "weight must be above 0 and finite, found inf"),
        ({"min_effect": math.nan}, "both finite; found 0.05 and nan"),
        ({"min_effect": math.inf}, "both finite; found 0.05 and inf"),
        ({"planned_effect": math.nan}, "both finite; found nan and 0"),
        (
            {"guardrails": [{"name": "x", "actions": ["a"], "max_harm": math.nan}]},
            "max_harm must be 0 or more and finite, found nan",
        ),
        ({"min_users": 0}, "min_users must be 2 or more, found 0"),
        ({"min_users": -5}, "min_users must be 2 or more, found -5"),
    ],
)
def test_what_does_not_fit_is_named_with_what_to_write(change, message):
    with pytest.raises(ConfigError, match=message):
        parse_definition({**VALUES, **change}, "t.yaml")


def test_a_file_that_is_missing_or_no_yaml_is_one_clear_error(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        read_definition(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("name: [")
    with pytest.raises(ConfigError, match="is not YAML"):
        read_definition(tmp_path / "bad.yaml")
    with pytest.raises(ConfigError, match="is a folder"):
        read_definition(tmp_path)
    (tmp_path / "twice.yaml").write_text("name: a\nname: b\n")
    with pytest.raises(ConfigError, match="key 'name' stands twice"):
        read_definition(tmp_path / "twice.yaml")
    (tmp_path / "list.yaml").write_text("- a")
    with pytest.raises(ConfigError, match="holds no keys"):
        read_definition(tmp_path / "list.yaml")
