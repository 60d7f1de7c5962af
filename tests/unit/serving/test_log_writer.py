import asyncio
import sqlite3
from contextlib import closing
from threading import Event

import pytest

from homefeed.errors import BusyError, StorageError
from serving.event_log import EventLog
from serving.explain import ExplanationStore
from serving.log_writer import LogWriter
from serving.logged import Exposure


class HeldLog(EventLog):
    """A log whose writes begin at ``go``: what comes until then shares the second one.

    ``rows`` has how many rows each write was given. It waits for no other writer.
    """

    def __init__(self, path) -> None:
        super().__init__(path, wait_s=0.0)
        self.entered, self.go, self.rows = Event(), Event(), []

    def append(self, actions=(), exposures=()):
        self.entered.set()
        self.go.wait()
        self.rows.append(len(actions) + len(exposures))
        return super().append(actions, exposures)


@pytest.fixture
def held_log(tmp_path) -> HeldLog:
    return HeldLog(tmp_path / "events.db")


@pytest.fixture
def explanations(tmp_path) -> ExplanationStore:
    return ExplanationStore(tmp_path / "explain.db", limit=3)


def shown(request_id: str) -> Exposure:
    return Exposure(request_id=request_id, endpoint="feed", user_id="i:1", time_ms=1)


def test_rows_are_durable_when_the_call_returns_and_each_gets_its_own_results(
    log, explanations, make_action
):
    writer = LogWriter(log, explanations)

    async def story() -> list:
        calls = [
            writer.append_actions([make_action(f"e{n}"), make_action("same")]) for n in range(20)
        ]
        return await asyncio.gather(*calls)

    results = asyncio.run(story())
    assert [each[0].status for each in results] == ["accepted"] * 20
    assert [each[1].status for each in results].count("accepted") == 1
    assert len(list(log.actions())) == 21
    writer.close()


def test_a_failed_write_reaches_everyone_who_waits_and_the_writer_goes_on(
    log, explanations, make_action, rename_table
):
    writer = LogWriter(log, explanations)

    async def story() -> list:
        rename_table("actions", "gone")
        calls = [writer.append_actions([make_action(f"e{n}")]) for n in range(3)]
        failed = await asyncio.gather(*calls, return_exceptions=True)
        rename_table("gone", "actions")
        return [*failed, *await writer.append_actions([make_action("later")])]

    *failed, later = asyncio.run(story())
    for error in failed:
        assert isinstance(error, StorageError)
        assert str(error).startswith(f"cannot write {log.path}: no such table")
    assert later.status == "accepted"
    writer.close()


def test_rows_that_cannot_be_written_fail_alone(held_log, explanations, make_action):
    writer = LogWriter(held_log, explanations)

    async def story() -> list:
        first = asyncio.create_task(writer.append_actions([make_action("first")]))
        await asyncio.to_thread(held_log.entered.wait)  # what comes now shares the next transaction
        calls = [
            asyncio.create_task(
                writer.append_actions([make_action(f"e{n}", surface="\ud800" if n == 3 else "")])
            )
            for n in range(7)
        ]
        calls.append(asyncio.create_task(writer.append_exposure(shown("r1"))))
        await asyncio.sleep(0)
        held_log.go.set()
        return await asyncio.gather(first, *calls, return_exceptions=True)

    _, *outcomes, exposed = asyncio.run(story())
    writer.close()
    assert held_log.rows[1] == 8
    assert isinstance(outcomes.pop(3), UnicodeEncodeError)
    assert [each[0].status for each in outcomes] == ["accepted"] * 6
    assert exposed is None
    kept = ["first", "e0", "e1", "e2", "e4", "e5", "e6"]
    assert [action.event_id for action in held_log.actions()] == kept
    assert [each.request_id for each in held_log.exposures()] == ["r1"]


def test_a_log_that_another_writer_holds_is_not_tried_again_for_each_request(
    held_log, explanations, make_action
):
    writer = LogWriter(held_log, explanations)

    async def story() -> list:
        first = asyncio.create_task(writer.append_actions([make_action("first")]))
        await asyncio.to_thread(held_log.entered.wait)
        calls = [
            asyncio.create_task(writer.append_actions([make_action(f"e{n}")])) for n in range(5)
        ]
        await asyncio.sleep(0)
        held_log.go.set()
        return await asyncio.gather(first, *calls, return_exceptions=True)

    with closing(sqlite3.connect(held_log.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        outcomes = asyncio.run(story())
    for outcome in outcomes:
        assert isinstance(outcome, BusyError)
        assert str(outcome) == f"{held_log.path} was locked by another writer for 0 s; try again"
    assert held_log.rows == [1, 5]
    (later,) = asyncio.run(writer.append_actions([make_action("later")]))
    assert later.status == "accepted"
    writer.close()


def test_an_explanation_that_cannot_be_kept_does_not_stop_the_writer(
    log, explanations, make_action
):
    writer = LogWriter(log, explanations)

    async def story() -> list:
        await writer.append_exposure(shown("r1"), {"why": object()})
        return await writer.append_actions([make_action("later")])

    assert asyncio.run(story())[0].status == "accepted"
    writer.close()


def test_closing_writes_what_is_queued(log, explanations, make_action):
    writer = LogWriter(log, explanations)

    async def story() -> None:
        task = asyncio.create_task(writer.append_actions([make_action("e")]))
        await asyncio.sleep(0)
        writer.close()
        await task

    asyncio.run(story())
    assert len(list(log.actions())) == 1


def test_explanations_can_be_read_when_the_answer_is_out(log, explanations):
    writer = LogWriter(log, explanations)
    asyncio.run(writer.append_exposure(shown("r1"), {"why": ["é"]}))
    assert explanations.get("r1") == {"why": ["é"]}
    writer.close()


def test_no_answer_waits_for_a_slow_file_of_explanations(log, slow_explanations, make_action):
    store = slow_explanations(limit=3)
    writer = LogWriter(log, store)

    async def story() -> None:
        for n in range(3):
            await writer.append_exposure(shown(f"r{n}"), {"n": n})
            assert store.get(f"r{n}") == {"n": n}
        await writer.append_actions([make_action("later")])

    asyncio.run(story())
    store.go.set()
    writer.close()
    again = ExplanationStore(store.path, limit=3)
    assert [again.get(f"r{n}") for n in range(3)] == [{"n": 0}, {"n": 1}, {"n": 2}]
