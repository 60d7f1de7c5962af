import asyncio
from threading import Event

import pytest

from homefeed.errors import BusyError, StorageError
from serving.explain import ExplanationStore
from serving.log_writer import LogWriter
from serving.logged import Exposure


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


def test_rows_that_cannot_be_written_fail_alone(log, explanations, make_action, monkeypatch):
    writer, append, entered, go = LogWriter(log, explanations), log.append, Event(), Event()
    together = []

    def held(actions, exposures):
        entered.set()
        go.wait(10)
        together.append(len(actions) + len(exposures))
        return append(actions, exposures)

    async def story() -> list:
        monkeypatch.setattr(log, "append", held)
        first = asyncio.create_task(writer.append_actions([make_action("first")]))
        await asyncio.to_thread(entered.wait, 10)  # what comes now shares the next transaction
        calls = [
            asyncio.create_task(
                writer.append_actions([make_action(f"e{n}", surface="\ud800" if n == 3 else "")])
            )
            for n in range(7)
        ]
        calls.append(asyncio.create_task(writer.append_exposure(shown("r1"))))
        await asyncio.sleep(0)
        go.set()
        return await asyncio.gather(first, *calls, return_exceptions=True)

    _, *outcomes, exposed = asyncio.run(story())
    writer.close()
    assert together[1] == 8
    assert isinstance(outcomes.pop(3), UnicodeEncodeError)
    assert [each[0].status for each in outcomes] == ["accepted"] * 6
    assert exposed is None
    kept = ["first", "e0", "e1", "e2", "e4", "e5", "e6"]
    assert [action.event_id for action in log.actions()] == kept
    assert [each.request_id for each in log.exposures()] == ["r1"]


def test_a_log_that_cannot_be_written_is_not_tried_again_for_each_request(
    log, explanations, make_action, monkeypatch
):
    tries, entered, go = [], Event(), Event()

    def busy(actions, _):
        entered.set()
        go.wait(10)
        tries.append(len(actions))
        raise BusyError("another writer holds the log")

    monkeypatch.setattr(log, "append", busy)
    writer = LogWriter(log, explanations)

    async def story() -> list:
        first = asyncio.create_task(writer.append_actions([make_action("first")]))
        await asyncio.to_thread(entered.wait, 10)
        calls = [
            asyncio.create_task(writer.append_actions([make_action(f"e{n}")])) for n in range(5)
        ]
        await asyncio.sleep(0)
        go.set()
        return await asyncio.gather(first, *calls, return_exceptions=True)

    assert all(isinstance(outcome, BusyError) for outcome in asyncio.run(story()))
    writer.close()
    assert tries == [1, 5]


def test_an_explanation_that_cannot_be_kept_does_not_stop_the_writer(
    log, explanations, make_action
):
    writer = LogWriter(log, explanations)

    async def story() -> list:
        await asyncio.wait_for(writer.append_exposure(shown("r1"), {"why": object()}), 10)
        return await asyncio.wait_for(writer.append_actions([make_action("later")]), 10)

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


def test_no_answer_waits_for_a_slow_file_of_explanations(
    log, explanations, make_action, monkeypatch
):
    go, put = Event(), explanations.put
    monkeypatch.setattr(explanations, "put", lambda bodies: go.wait(30) and put(bodies))
    writer = LogWriter(log, explanations)

    async def story() -> None:
        for n in range(3):
            exposure = writer.append_exposure(shown(f"r{n}"), {"n": n})
            await asyncio.wait_for(exposure, 10)
            assert explanations.get(f"r{n}") == {"n": n}
        await asyncio.wait_for(writer.append_actions([make_action("later")]), 10)

    asyncio.run(story())
    go.set()
    writer.close()
    again = ExplanationStore(explanations.path, limit=3)
    assert [again.get(f"r{n}") for n in range(3)] == [{"n": 0}, {"n": 1}, {"n": 2}]
