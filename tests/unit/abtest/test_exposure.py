import sqlite3

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homefeed.abtest.assignment import arm_of
from homefeed.abtest.definition import Arm, Definition, Metric
from homefeed.abtest.exposure import (
    ACTION_COLUMNS,
    EXPOSURE_COLUMNS,
    last_logged_s,
    outcomes,
    read_log,
)
from homefeed.errors import ArtifactError, DatasetError

CLICKS = Metric(name="clicks", actions=("click", "like"))
HIDES = Metric(name="hides", actions=("hide",), per="request", direction="down")
REQUESTS = Metric(name="requests")
TEST = Definition(
    name="t",
    arms={"control": Arm(release=1), "new": Arm(release=2)},
    primary=CLICKS,
    guardrails=(HIDES, REQUESTS),
)
USERS = ["i:1", "i:2", "s:ä", "i:4"]
EXPOSURE = st.tuples(
    st.sampled_from(USERS),
    st.sampled_from(["control", "new"]),
    st.integers(0, 9),
    st.integers(0, 50),
)
ACTION = st.tuples(
    st.sampled_from([*USERS, "i:9"]),
    st.sampled_from(["click", "like", "hide", "watch"]),
    st.one_of(st.none(), st.integers(0, 9)),
    st.integers(0, 50),
)


def exposures_of(rows) -> pl.DataFrame:
    release = {"control": 1, "new": 2}
    values = [
        (user, arm, f"{user}/{arm}/{request}", time_ms, release.get(arm, 9))
        for user, arm, request, time_ms in rows
    ]
    return pl.DataFrame(values, schema=EXPOSURE_COLUMNS, orient="row")


def actions_of(rows) -> pl.DataFrame:
    values = [
        (user, "i:1", kind, time_ms, None if request is None else f"{user}/control/{request}")
        for user, kind, request, time_ms in rows
    ]
    return pl.DataFrame(values, schema=ACTION_COLUMNS, orient="row")


@settings(deadline=None, max_examples=60)
@given(shown=st.lists(EXPOSURE, min_size=1, max_size=25), done=st.lists(ACTION, max_size=25))
def test_outcomes_equal_a_loop_over_users(shown, done):
    exposures, actions = exposures_of(shown), actions_of(done)
    found = outcomes(TEST, exposures, actions)
    crossed, expected = 0, {}
    for user in USERS:
        mine = exposures.filter(pl.col("user_id") == user).unique("request_id", keep="first")
        if mine["arm"].n_unique() > 1:
            crossed += 1
        if mine["arm"].n_unique() != 1:
            continue
        first_ms = _first_times(shown, user)
        rows = [a for a in actions.iter_rows(named=True) if a["user_id"] == user]
        asked = set(mine["request_id"])
        expected[user] = (
            mine["arm"][0],
            len(asked),
            sum(a["action_type"] in CLICKS.actions and a["time_ms"] >= first_ms for a in rows),
            sum(a["action_type"] == "hide" and a["request_id"] in asked for a in rows),
        )
    got = {
        user: (found.arms[arm], requests, clicks, hides)
        for user, arm, requests, clicks, hides in zip(
            found.user,
            found.arm,
            found.requests,
            found.counts["clicks"],
            found.counts["hides"],
            strict=True,
        )
    }
    assert got == expected
    assert found.crossed_users == crossed
    np.testing.assert_array_equal(found.counts["requests"], found.requests)
    assigned = {user: arm_of(TEST, user) for user in expected}
    assert found.misassigned_users == sum(assigned[u] != expected[u][0] for u in expected)


def _first_times(shown, user) -> int:
    """A request that is logged twice counts as it was logged first."""
    times = {}
    for each, arm, request, time_ms in shown:
        if each == user:
            times.setdefault((arm, request), time_ms)
    return min(times.values())


def test_what_a_user_did_before_the_first_exposure_does_not_count():
    exposures = exposures_of([("i:1", "control", 1, 100)])
    actions = actions_of([("i:1", "click", None, 99), ("i:1", "click", None, 100)])
    assert outcomes(TEST, exposures, actions).counts["clicks"].tolist() == [1.0]


def test_users_of_more_than_one_arm_are_counted_and_left_out():
    exposures = exposures_of([("i:1", "control", 1, 0), ("i:1", "new", 2, 1), ("i:2", "new", 3, 2)])
    found = outcomes(TEST, exposures, actions_of([]))
    assert found.user.tolist() == ["i:2"]
    assert found.crossed_users == 1


def test_answers_of_another_release_than_the_arm_names_are_counted():
    exposures = exposures_of([("i:1", "control", 1, 0), ("i:1", "control", 2, 0)])
    exposures = exposures.with_columns(release_version=pl.Series([1, 7]))
    assert outcomes(TEST, exposures, actions_of([])).wrong_release_requests == 1


def test_numerators_and_denominators_are_those_of_one_arm():
    exposures = exposures_of(
        [("i:1", "control", 1, 0), ("i:1", "control", 2, 0), ("i:2", "new", 3, 0)]
    )
    actions = actions_of([("i:1", "hide", 2, 5), ("i:1", "click", 1, 5)])
    found = outcomes(TEST, exposures, actions)
    assert [part.tolist() for part in found.of("control", HIDES)] == [[1.0], [2.0]]
    assert [part.tolist() for part in found.of("control", CLICKS)] == [[1.0], [1.0]]
    assert [part.tolist() for part in found.of("new", HIDES)] == [[0.0], [1.0]]
    assert found.users_of("new") == 1


def test_nobody_exposed_an_unknown_arm_and_a_missing_column_are_clear_errors():
    with pytest.raises(DatasetError, match="nobody was exposed"):
        outcomes(TEST, exposures_of([]), actions_of([]))
    with pytest.raises(DatasetError, match="arm 'old'"):
        outcomes(TEST, exposures_of([("i:1", "old", 1, 0)]), actions_of([]))
    with pytest.raises(DatasetError, match="no column 'arm'"):
        outcomes(TEST, exposures_of([("i:1", "new", 1, 0)]).drop("arm"), actions_of([]))


def test_the_log_gives_the_exposures_of_one_test_and_what_its_users_did(tmp_path):
    folder = tmp_path / "50%20 C# what?"  # all of these mean something else in a URI
    folder.mkdir()
    path = folder / "events.db"
    with sqlite3.connect(path) as log:
        log.execute(
            "CREATE TABLE exposures (seq INTEGER PRIMARY KEY, test TEXT, user_id TEXT, arm TEXT, "
            "request_id TEXT, time_ms INTEGER, release_version INTEGER)"
        )
        log.execute(
            "CREATE TABLE actions (seq INTEGER PRIMARY KEY, user_id TEXT, item_id TEXT, "
            "action_type TEXT, time_ms INTEGER, request_id TEXT)"
        )
        log.executemany(
            "INSERT INTO exposures VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (1, "t", "i:1", "control", "r1", 10, 1),
                (2, "other", "i:2", "control", "r2", 11, 1),
                (3, None, "i:3", None, "r3", 12, 1),
            ],
        )
        log.executemany(
            "INSERT INTO actions VALUES (?, ?, ?, ?, ?, ?)",
            [(1, "i:1", "i:5", "click", 20, "r1"), (2, "i:2", "i:5", "click", 20, None)],
        )
    log.close()
    exposures, actions = read_log(path, "t")
    assert exposures["request_id"].to_list() == ["r1"]
    assert actions["user_id"].to_list() == ["i:1"]
    assert outcomes(TEST, exposures, actions).counts["clicks"].tolist() == [1.0]
    assert last_logged_s(path, "t") == 0.020  # the action of the test's one user
    assert last_logged_s(path, "nobody saw") == 0


def test_a_log_that_is_missing_or_no_database_is_an_artifact_error(tmp_path):
    with pytest.raises(ArtifactError, match="does not exist"):
        read_log(tmp_path / "none.db", "t")
    (tmp_path / "bad.db").write_text("this is no database, but some longer text instead" * 20)
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_log(tmp_path / "bad.db", "t")


def test_what_is_done_after_the_test_was_stopped_does_not_count():
    exposures = exposures_of([("i:1", "control", 1, 100)])
    actions = actions_of([("i:1", "click", None, 900), ("i:1", "click", None, 1_100)])
    assert outcomes(TEST, exposures, actions, ended_s=1.0).counts["clicks"].tolist() == [1]


def test_an_action_that_names_another_users_request_counts_for_nobody():
    exposures = exposures_of([("i:1", "control", 1, 100), ("i:2", "control", 2, 100)])
    taken = pl.DataFrame(
        [("i:2", "i:1", "hide", 200, "i:1/control/1")], schema=ACTION_COLUMNS, orient="row"
    )
    assert outcomes(TEST, exposures, taken).counts["hides"].tolist() == [0, 0]
