"""A run starts its A/B test on the real server, whatever an earlier run left there."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from homefeed.abtest.definition import parse_definition
from homefeed.abtest.exposure import last_logged_s
from homefeed.abtest.running import STOPPED, names_of_tests, start_test, state_of, stop_test
from homefeed.artifacts import read_json, write_json
from homefeed.client import Client
from homefeed.config import Config, StorageConfig
from homefeed.data.contract import DatasetSpec, write_dataset
from homefeed.recipes import config_json
from homefeed.steps.abtests import start_step

pytestmark = [pytest.mark.integration, pytest.mark.slow]

END_S = 1_700_000_000 + 1_000  # of the world's log: where its clock stands
VALUES = {"arms": {"a": {"release": 1}, "b": {"release": 2}}, "primary": {"name": "requests"}}


@pytest.fixture
def start_run(
    server: SimpleNamespace, client: Client, tmp_path: Path, wait_until: Any
) -> Iterator[Callable[[], str]]:
    """Start the test of a run on a world whose log ends at ``END_S``; gives the test's name."""
    rows = {"user_id": [1], "item_id": [7], "action_type": ["like"], "timestamp": [1]}
    spec = DatasetSpec(name="world", files={}, positive=("like",), live=True, span=(0, END_S))
    write_dataset(tmp_path / "checked", spec, {"actions": pl.DataFrame(rows)})
    arms = [{"arm": "control", "release": 1}, {"arm": "new", "release": 2}]
    write_json(tmp_path / "releases.json", {"arms": arms})
    config = config_json(Config(storage=StorageConfig(root=str(server.workspace))))

    def start() -> str:
        out, checked = tmp_path / "started.json", tmp_path / "checked"
        start_step(checked, tmp_path / "releases.json", "tiny", config, out, server.url)
        return read_json(out)["test"]

    yield start
    for name in names_of_tests(server.workspace):  # the server is shared, and so are the names
        stop_test(server.workspace, name, at_s=END_S, reason="the end of a test of tests")
        (server.workspace / "abtests" / f"{name}.state.json").unlink()
    wait_until(lambda: not client.ready()["tests"])


def test_a_test_that_a_broken_off_run_left_ends_after_what_it_showed(
    start_run: Callable[[], str], server: SimpleNamespace, client: Client
) -> None:
    left = start_run()
    mine = "a user of this test alone"  # the actions of a test's users count, whoever posted them
    assert client.feed(mine, at=END_S + 60)["arm"] in ("control", "new")
    assert last_logged_s(server.workspace / "events.db", left) == END_S + 60
    assert start_run() == "lifecycle-2"
    state = state_of(server.workspace, left)
    assert (state.status, state.stopped_s) == (STOPPED, END_S + 61)
    assert [test["name"] for test in client.ready()["tests"]] == ["lifecycle-2"]


def test_a_runs_test_gets_a_new_name_where_an_earlier_one_was_removed(
    start_run: Callable[[], str], server: SimpleNamespace
) -> None:
    mine = parse_definition({**VALUES, "name": "mine", "layer": "x"})
    start_test(server.workspace, mine, at_s=0.0)
    names = [start_run(), start_run()]
    stop_test(server.workspace, names[1], at_s=END_S, reason="seen enough")
    (server.workspace / "abtests" / f"{names[0]}.state.json").unlink()
    assert [*names, start_run()] == ["lifecycle-1", "lifecycle-2", "lifecycle-3"]
