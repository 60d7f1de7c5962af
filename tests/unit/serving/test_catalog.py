import threading
from dataclasses import replace

import pytest

from homefeed.errors import LedgerConflict, ReleaseError
from serving.catalog import Catalog, Source, Wanted
from serving.served import RunningTest


class Ledger:
    """What is wanted, where each release stands, and what has been loaded; a test moves it."""

    def __init__(self) -> None:
        self.now = Wanted(champion=1)
        self.snapshot = "day1"
        self.broken: set[int] = set()
        self.waiting: dict[int, str] = {}
        self.loads: list[str] = []

    def key(self, version: int) -> str:
        return f"{version}@{self.snapshot}"

    def load(self, version: int) -> str:
        if version in self.broken:
            raise ReleaseError("its ranker is missing")
        self.loads.append(self.key(version))
        return f"release {self.key(version)}"

    def wanted(self) -> Wanted:
        if isinstance(self.now, Exception):
            raise self.now
        return self.now

    def usable(self, keys) -> dict[int, str]:
        return {version: why for version, why in self.waiting.items() if version in keys}


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def catalog(ledger) -> Catalog:
    source = Source(wanted=ledger.wanted, key=ledger.key, load=ledger.load, usable=ledger.usable)
    return Catalog(source, poll_s=0.01)


def running(name="t", **arms) -> RunningTest:
    return RunningTest(name=name, arms=arms, arm_of=lambda user: None)


def test_the_log_tells_each_change_and_each_problem_once(catalog, ledger, caplog):
    caplog.set_level("INFO", "homefeed.serving")
    catalog.refresh()
    ledger.now, ledger.broken = Wanted(champion=2, tests=(running(a=1),)), {2}
    catalog.refresh()
    catalog.refresh()
    told = [m for m in caplog.messages if not m.startswith("loading")]
    assert told == [
        "champion: release 1; loaded: 1@day1; running tests: none",
        "release version 2: its ranker is missing",
        "champion: release 1; loaded: 1@day1; running tests: t",
    ]


def test_the_champion_is_loaded_once(catalog, ledger):
    catalog.refresh()
    catalog.refresh()
    assert catalog.current.releases == {1: "release 1@day1"}
    assert ledger.loads == ["1@day1"]


def test_a_new_champion_and_a_new_snapshot_are_followed_and_the_old_are_let_go(catalog, ledger):
    catalog.refresh()
    ledger.now = Wanted(champion=2)
    catalog.refresh()
    ledger.snapshot = "day2"
    catalog.refresh()
    assert catalog.current.wanted.champion == 2
    assert catalog.current.releases == {2: "release 2@day2"}
    assert ledger.loads == ["1@day1", "2@day1", "2@day2"]


def test_a_champion_that_cannot_be_loaded_leaves_the_old_one_serving_and_is_told(catalog, ledger):
    catalog.refresh()
    ledger.now, ledger.broken = Wanted(champion=2), {2}
    catalog.refresh()
    assert catalog.current.wanted.champion == 1
    assert catalog.current.releases[1] == "release 1@day1"
    assert catalog.current.problems == ("release version 2: its ranker is missing",)
    ledger.broken = set()
    catalog.refresh()
    assert catalog.current.wanted.champion == 2
    assert catalog.current.problems == ()


def test_a_release_serves_only_when_the_scorer_has_it_and_is_loaded_once_meanwhile(catalog, ledger):
    catalog.refresh()
    ledger.snapshot, ledger.waiting = "day2", {1: "the scorer is loading it"}
    catalog.refresh()
    catalog.refresh()
    assert catalog.current.releases == {1: "release 1@day1"}
    ledger.waiting = {}
    catalog.refresh()
    assert catalog.current.releases == {1: "release 1@day2"}
    assert ledger.loads == ["1@day1", "1@day2"]


def test_a_test_runs_only_with_all_its_arms(catalog, ledger):
    ledger.now = Wanted(champion=1, tests=(running(control=1, treatment=2),))
    ledger.broken = {2}
    catalog.refresh()
    assert catalog.current.wanted.tests == ()
    ledger.broken = set()
    catalog.refresh()
    assert [test.name for test in catalog.current.wanted.tests] == ["t"]
    assert set(catalog.current.releases) == {1, 2}


def test_the_releases_of_a_test_that_ended_are_let_go(catalog, ledger):
    ledger.now = Wanted(champion=1, tests=(running(control=1, treatment=2),))
    catalog.refresh()
    ledger.now = Wanted(champion=1)
    catalog.refresh()
    assert set(catalog.current.releases) == {1}


def test_an_unreadable_ledger_changes_nothing_and_is_told(catalog, ledger):
    catalog.refresh()
    ledger.now = LedgerConflict("the ledger is locked")
    catalog.refresh()
    assert catalog.current.releases == {1: "release 1@day1"}
    assert catalog.current.problems == ("the ledger is locked",)


def test_a_fault_that_nobody_foresaw_stands_in_the_problems_and_once_in_the_log(
    catalog, ledger, caplog
):
    catalog.refresh()
    ledger.now = PermissionError("no access to the share")
    catalog.refresh()
    catalog.refresh()
    assert catalog.current.releases == {1: "release 1@day1"}
    (problem,) = catalog.current.problems
    assert problem.startswith("the ledger cannot be followed: PermissionError(")
    assert len([record for record in caplog.records if record.exc_info]) == 1


def test_a_ledger_that_is_gone_changes_nothing_and_is_told(catalog, ledger):
    ledger.now = Wanted(champion=1, tests=(running(control=1, treatment=2),))
    catalog.refresh()
    ledger.now = Wanted()
    catalog.refresh()
    assert set(catalog.current.releases) == {1, 2}
    assert [test.name for test in catalog.current.wanted.tests] == ["t"]
    (problem,) = catalog.current.problems
    assert problem.startswith("the ledger names no champion any more, it was release 1")
    ledger.now = Wanted(champion=2)
    catalog.refresh()
    assert (catalog.current.wanted.champion, catalog.current.problems) == (2, ())


def test_readers_see_a_whole_value_while_it_is_swapped(catalog, ledger):
    """A request that reads the value once finds the champion in it, whatever is promoted."""
    catalog.refresh()
    torn, stop = [], threading.Event()

    def read() -> None:
        while not stop.is_set():
            value = catalog.current
            if value.wanted.champion not in value.releases:
                torn.append(value)

    reader = threading.Thread(target=read)
    reader.start()
    for version in range(2, 200):
        ledger.now = Wanted(champion=version)
        catalog.refresh()
    stop.set()
    reader.join()
    assert torn == []


def test_changes_are_announced_once_each(ledger):
    changes = []
    source = Source(wanted=ledger.wanted, key=ledger.key, load=ledger.load)
    catalog = Catalog(source, poll_s=1, on_change=lambda: changes.append(catalog.current.keys))
    catalog.refresh()
    catalog.refresh()
    ledger.now = replace(ledger.now, champion=2)
    catalog.refresh()
    assert changes == [{1: "1@day1"}, {2: "2@day1"}]
