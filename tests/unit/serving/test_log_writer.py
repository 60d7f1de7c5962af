import asyncio

import pytest

from homefeed.errors import StorageError
from serving.event_log import EventLog
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
    log, explanations, make_action, monkeypatch
):
    writer, append = LogWriter(log, explanations), EventLog.append

    def full(*_):
        raise StorageError("the disk is full")

    async def story() -> list:
        monkeypatch.setattr(log, "append", full)
        calls = [writer.append_actions([make_action(f"e{n}")]) for n in range(3)]
        failed = await asyncio.gather(*calls, return_exceptions=True)
        monkeypatch.setattr(log, "append", append.__get__(log))
        return [*failed, *await writer.append_actions([make_action("later")])]

    *failed, later = asyncio.run(story())
    assert [str(error) for error in failed] == ["the disk is full"] * 3
    assert later.status == "accepted"
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


def test_only_the_newest_explanations_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("serving.explain._TRIM_EVERY", 1)
    store = ExplanationStore(tmp_path / "explain.db", limit=3)
    for n in range(6):
        store.put({f"r{n}": {"n": n}})
    assert [store.get(f"r{n}") for n in range(6)] == [None] * 3 + [{"n": 3}, {"n": 4}, {"n": 5}]
