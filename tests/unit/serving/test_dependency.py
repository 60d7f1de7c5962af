import asyncio
import gc
import threading

import pytest

from serving.dependency import Dependency, DependencyError, Lapses


def test_an_answer_in_time_is_passed_on():
    assert asyncio.run(Dependency("the store", 5_000).call(divmod, 7, 2)) == (3, 1)


def test_a_failure_names_the_dependency():
    with pytest.raises(DependencyError, match="the store failed: division by zero"):
        asyncio.run(Dependency("the store", 5_000).call(lambda: 1 / 0))


def test_the_log_tells_the_first_lapse_at_once_and_then_a_line_a_minute(caplog):
    lapses = Lapses(iter((0.0, 1.0, 59.0, 60.0, 61.0)).__next__)
    for _ in range(5):
        lapses.note(DependencyError("the store hangs"))
    assert caplog.messages == [
        "degraded answers: 1; the store hangs",
        "degraded answers: 3; the store hangs",
    ]


def test_a_failing_dependency_is_told_in_the_log(caplog):
    with pytest.raises(DependencyError):
        asyncio.run(Dependency("the store", 5_000).call(lambda: 1 / 0))
    assert caplog.messages == ["degraded answers: 1; the store failed: division by zero"]


def test_a_late_answer_is_given_up_after_the_budget():
    release = threading.Event()
    store = Dependency("the store", 20)
    with pytest.raises(DependencyError, match="did not answer within 20 ms"):
        asyncio.run(store.call(release.wait))
    release.set()


def test_a_hanging_dependency_is_refused_at_once_and_taken_back_when_it_returns():
    release, store = threading.Event(), Dependency("the store", 20, threads=2)

    async def refusal() -> str:
        with pytest.raises(DependencyError) as refused:
            await store.call(release.wait)
        return str(refused.value)

    async def story() -> None:
        said = []
        while not said or "did not answer" in said[-1]:  # a call that had not begun holds no thread
            said.append(await refusal())
        release.set()
        assert len(said) > 2
        assert said[-1] == "the store hangs: 2 calls have not come back"
        while True:
            try:
                assert await store.call(lambda: "back") == "back"
                return
            except DependencyError:
                await asyncio.sleep(0.01)

    asyncio.run(story())


def test_what_a_late_call_raises_is_not_told_a_second_time(caplog):
    release = threading.Event()

    def fail_late() -> None:
        release.wait()
        raise OSError("gone after all")

    async def story() -> None:
        with pytest.raises(DependencyError, match="did not answer"):
            await Dependency("the store", 20).call(fail_late)
        release.set()
        for _ in range(20):
            await asyncio.sleep(0.01)
        gc.collect()

    asyncio.run(story())
    assert [record.name for record in caplog.records] == ["homefeed.serving"]
