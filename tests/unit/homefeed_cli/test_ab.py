"""``homefeed ab analyze --promote`` on a definition that names its control."""

import re
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from homefeed.abtest.assignment import arm_of
from homefeed.abtest.definition import Definition, parse_definition, write_definition
from homefeed.abtest.running import (
    RUNNING,
    STOPPED,
    RunState,
    definition_path,
    names_of_tests,
    start_test,
    state_of,
)
from homefeed.release import ReleaseRegistry
from serving.event_log import EventLog
from serving.logged import Action, Exposure

USERS = [f"i:{user}" for user in range(1000)]
CLICKS = {"a": 1, "b": 3}  # arm a is clearly worse; every second user clicks once more


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Where the command line looks."""
    return tmp_path / ".homefeed"


@pytest.fixture
def champions(registry: ReleaseRegistry, make_manifest: Any) -> ReleaseRegistry:
    """Three releases, of which the third and then the second became champion."""
    for name in ("first", "second", "third"):
        registry.register(make_manifest(name))
    registry.promote(3, reason="the first of all")
    registry.promote(2, reason="it won a test")
    return registry


@pytest.fixture
def lost(workspace: Path, champions: ReleaseRegistry) -> None:
    """A running test whose control is its second arm, and all that its users were shown and did."""
    definition = parse_definition(
        {
            "name": "t",
            "arms": {"a": {"release": 1}, "b": {"release": 2}},
            "control": "b",
            "primary": {"name": "clicks", "actions": ["click"]},
        }
    )
    start_test(workspace, definition, at_s=0.0, champion=2)
    visits = [_visit(definition, user, extra=number % 2) for number, user in enumerate(USERS)]
    log = EventLog(workspace / "events.db")
    log.append([click for clicks, _ in visits for click in clicks], [shown for _, shown in visits])
    log.close()


def _visit(definition: Definition, user: str, extra: int) -> tuple[list[Action], Exposure]:
    arm = arm_of(definition, user)
    about = {"user_id": user, "request_id": f"{definition.name} of {user}"}
    shown = Exposure(
        **about, endpoint="feed", time_ms=1000, test=definition.name, arm=arm,
        release_version=definition.arms[arm].release, release_hash="",
    )  # fmt: skip
    clicks = [
        Action(
            **about, event_id=f"{definition.name} {user}-{n}", item_id=f"i:{n}",
            action_type="click", time_ms=2000 + n, arrived_ms=2000 + n,
        )
        for n in range(CLICKS[arm] + extra)
    ]  # fmt: skip
    return clicks, shown


@pytest.mark.usefixtures("lost")
def test_a_champion_that_won_as_the_named_control_stays_when_the_test_rolls_back(
    homefeed: Any, champions: ReleaseRegistry, workspace: Path
) -> None:
    said = homefeed("ab", "analyze", "t", "--promote")
    assert said.code == 0
    assert "rollback: release 2 stays the champion" in said.out
    assert champions.champion() == 2
    assert state_of(workspace, "t").status == STOPPED


@pytest.mark.usefixtures("lost")
def test_a_champion_that_lost_as_the_first_arm_is_rolled_back(
    homefeed: Any, champions: ReleaseRegistry
) -> None:
    champions.promote(1, reason="by hand")
    said = homefeed("ab", "analyze", "t", "--promote")
    assert "rolled back: release 2 is the champion again" in said.out
    assert champions.champion() == 2


@pytest.mark.usefixtures("lost")
def test_an_analysis_tells_how_users_were_split_against_the_plan(homefeed: Any) -> None:
    split = homefeed("ab", "analyze", "t", "--json").json["analysis"]["sample_ratio"]
    assert sum(split["users"].values()) == len(USERS)
    (told,) = [line for line in homefeed("ab", "analyze", "t").out.splitlines() if "ratio" in line]
    assert told == (
        f"sample ratio: as planned (p = {split['p_value']:.3g}): a {split['users']['a']} users "
        f"(500.0 planned), b {split['users']['b']} users (500.0 planned); users seen in two arms: 0"
    )


def test_a_split_that_is_far_from_the_plan_and_crossed_users_are_told_as_such(
    homefeed: Any, workspace: Path
) -> None:
    definition = _other_way_round()
    start_test(workspace, definition, at_s=0.0, champion=2)
    shown = [_visit(definition, user, extra=0)[1] for user in USERS]
    kept = [each for number, each in enumerate(shown) if each.arm == "a" or number % 2]
    [first, *_] = [each for each in kept if each.arm == "a"]
    again = replace(first, arm="b", request_id="again")
    log = EventLog(workspace / "events.db")
    log.append([], [*kept, again])
    log.close()
    said = homefeed("ab", "analyze", "turned").out
    assert "\nsample ratio: mismatch (p = " in said
    assert "; users seen in two arms: 1\n" in said


@pytest.mark.usefixtures("lost")
def test_a_verdict_is_carried_out_once(homefeed: Any, champions: ReleaseRegistry) -> None:
    champions.promote(1, reason="by hand")
    homefeed("ab", "analyze", "t", "--promote")
    before = champions.history()
    told = f"already carried out (ledger entry {before[-1].seq}: rollback 2)"
    said = homefeed("ab", "analyze", "t", "--promote")
    assert (said.code, said.out.splitlines()[-1]) == (0, told)
    assert homefeed("ab", "analyze", "t", "--promote", "--json").json["carried_out"] == told
    assert champions.history() == before


@pytest.mark.usefixtures("lost")
def test_stopping_a_stopped_test_says_when_and_why_it_was_stopped(
    homefeed: Any, workspace: Path
) -> None:
    assert "t is stopped" in homefeed("ab", "stop", "t", "--reason", "a guardrail broke").out
    before = state_of(workspace, "t")
    said = homefeed("ab", "stop", "t", "--reason", "another reason")
    assert said.code == 0
    assert re.fullmatch(
        r"t was stopped already at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d: a guardrail broke\n", said.out
    )
    told = homefeed("ab", "stop", "t", "--reason", "another reason", "--json").json
    assert RunState(**told) == state_of(workspace, "t") == before


@pytest.mark.usefixtures("lost")
def test_a_look_before_the_end_does_not_end_the_test(homefeed: Any, workspace: Path) -> None:
    said = homefeed("ab", "analyze", "t", "--interim", "--promote")
    assert said.code == 2
    assert "--interim only looks" in said.err
    assert homefeed("ab", "analyze", "t", "--interim").code == 0
    assert state_of(workspace, "t").status == RUNNING


@pytest.mark.usefixtures("lost")
def test_a_definition_that_was_edited_is_not_analyzed(homefeed: Any, workspace: Path) -> None:
    path = definition_path(workspace, "t")
    path.write_text(path.read_text().replace("control: b", "control: a"))
    said = homefeed("ab", "analyze", "t")
    assert said.code == 2
    assert "t.yaml was changed after test 't' was started" in said.err


@pytest.mark.usefixtures("lost")
def test_the_status_names_a_test_that_was_edited_and_shows_the_others(
    homefeed: Any, workspace: Path
) -> None:
    values = {"arms": {"a": {"release": 1}, "b": {"release": 2}}, "primary": {"name": "requests"}}
    start_test(workspace, parse_definition({**values, "name": "u", "layer": "other"}), at_s=0.0)
    path = definition_path(workspace, "t")
    path.write_text(path.read_text().replace("control: b", "control: a"))
    said = homefeed("ab", "status")
    assert said.code == 0
    assert "t is broken: " in said.out
    assert "t.yaml was changed after test 't' was started" in said.out
    rows = homefeed("ab", "status", "--json").json
    assert [(row["test"], row["status"]) for row in rows] == [
        ("t", "broken"),
        ("u", "running"),
        ("u", "running"),
    ]


@pytest.mark.usefixtures("lost")
def test_a_test_is_analyzed_though_the_state_of_another_cannot_be_read(
    homefeed: Any, workspace: Path
) -> None:
    (workspace / "abtests" / "other.state.json").write_text("{")
    assert homefeed("ab", "analyze", "t", "--interim").code == 0


@pytest.mark.usefixtures("lost")
@pytest.mark.parametrize("state", [b"{", b"\xff\xfe", b"[]", b"null", b'{"status": "running"}'])
def test_a_test_whose_state_cannot_be_read_is_not_stopped_and_the_one_line_says_how_it_ends(
    homefeed: Any, workspace: Path, state: bytes
) -> None:
    path = workspace / "abtests" / "t.state.json"
    path.write_bytes(state)
    said = homefeed("ab", "stop", "t", "--reason", "enough")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"homefeed: {path} is not a test's state (")
    assert "restore the file, or end the test by removing it" in said.err
    assert "Traceback" not in said.err
    assert said.err.count("\n") == 1
    assert path.read_bytes() == state
    path.unlink()
    assert homefeed("ab", "status", "--json").json == []


@pytest.mark.usefixtures("lost")
def test_what_users_do_after_the_end_changes_no_verdict(homefeed: Any, workspace: Path) -> None:
    homefeed("ab", "analyze", "t", "--promote")
    first = homefeed("ab", "analyze", "t", "--json").json["analysis"]
    log, late_ms = EventLog(workspace / "events.db"), 1000 * (int(time.time()) + 60)
    late = {"action_type": "click", "item_id": "i:1", "time_ms": late_ms, "arrived_ms": late_ms}
    log.append([Action(**late, event_id=f"late {user}", user_id=user) for user in USERS[::7]])
    log.close()
    assert homefeed("ab", "analyze", "t", "--json").json["analysis"] == first


@pytest.mark.usefixtures("lost")
def test_a_verdict_does_not_replace_a_champion_that_it_was_not_against(
    homefeed: Any, champions: ReleaseRegistry, workspace: Path
) -> None:
    start_test(workspace, _other_way_round(), at_s=0.0, champion=2)
    visits = [_visit(_other_way_round(), user, extra=n % 2) for n, user in enumerate(USERS)]
    log = EventLog(workspace / "events.db")
    log.append([click for clicks, _ in visits for click in clicks], [shown for _, shown in visits])
    log.close()
    champions.promote(3, reason="by hand, while the test ran")
    said = homefeed("ab", "analyze", "turned", "--promote")
    assert said.code == 2
    assert champions.champion() == 3


def _other_way_round() -> Definition:
    """A test that ships release 1: arm b, which does three times as much, is the treatment."""
    return parse_definition(
        {
            "name": "turned",
            "layer": "another",
            "arms": {"a": {"release": 2}, "b": {"release": 1}},
            "primary": {"name": "clicks", "actions": ["click"]},
        }
    )


@pytest.mark.usefixtures("champions")
def test_a_test_that_no_server_answers_is_stopped_and_the_server_was_asked_where_it_can_be(
    homefeed: Any, workspace: Path, tmp_path: Path
) -> None:
    values = {"arms": {"a": {"release": 1}, "b": {"release": 2}}, "primary": {"name": "requests"}}
    write_definition(tmp_path / "t.yaml", parse_definition({**values, "name": "t"}))
    with socket.socket() as nobody:  # bound, so that no other server has its port
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        where = ("--set", "serving.host=0.0.0.0", "--set", f"serving.port={port}")
        said = homefeed("ab", "start", "t.yaml", "--timeout", "0.2", *where)
    assert said.code == 2
    assert f"no server at http://127.0.0.1:{port} reported the arms of 't'" in said.err
    assert "'t' was stopped, start it again under another name" in said.err
    assert state_of(workspace, "t").status == STOPPED
    (row, _) = homefeed("ab", "status", "--json").json
    assert row["status"] == "stopped"


@pytest.mark.usefixtures("champions")
@pytest.mark.parametrize("place", ["primary", "guardrail"])
def test_a_metric_of_an_action_that_no_arm_knows_is_refused_before_the_test_begins(
    homefeed: Any, workspace: Path, tmp_path: Path, place: str
) -> None:
    known, unknown = ({"name": name, "actions": [name]} for name in ("long_view", "long_veiw"))
    values = {"name": "t", "arms": {"a": {"release": 1}, "b": {"release": 2}}, "primary": known}
    values |= {"primary": unknown} if place == "primary" else {"guardrails": [unknown]}
    write_definition(tmp_path / "t.yaml", parse_definition(values))
    said = homefeed("ab", "start", "t.yaml", "--no-wait")
    assert said.code == 2
    assert "metric 'long_veiw' counts 'long_veiw', which no arm's release knows" in said.err
    assert "did you mean 'long_view'?" in said.err
    assert names_of_tests(workspace) == []
    write_definition(
        tmp_path / "t.yaml", parse_definition(values | {"primary": known, "guardrails": []})
    )
    assert homefeed("ab", "start", "t.yaml", "--no-wait").code == 0
