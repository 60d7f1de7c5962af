"""What the CPU service makes of a scoring service that is starting, gone, or answers."""

import asyncio
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from serving.dependency import DependencyError
from serving.scoring import ServiceScoring


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """The event loop that the service's connections belong to, in a thread of its own."""
    found = asyncio.new_event_loop()
    thread = threading.Thread(target=found.run_forever, daemon=True)
    thread.start()
    yield found
    found.call_soon_threadsafe(found.stop)
    thread.join()
    found.close()


async def _loaded() -> dict[str, str]:
    return {"3": "abc"}


async def _gone() -> dict[str, str]:
    raise ConnectionError("nobody listens")


def test_what_the_scorer_has_loaded_is_asked_on_the_loop_of_its_connections(loop) -> None:
    proxy = SimpleNamespace(to_async=SimpleNamespace(loaded=_loaded))
    assert ServiceScoring(proxy, 50.0, loop).loaded() == {3: "abc"}


@pytest.mark.parametrize("calls", [{}, {"loaded": _gone}], ids=["starting", "gone"])
def test_a_scorer_that_does_not_answer_has_loaded_nothing(loop, calls, caplog) -> None:
    proxy = SimpleNamespace(to_async=SimpleNamespace(**calls))  # BentoML's knows no call at first
    assert ServiceScoring(proxy, 50.0, loop).loaded() == {}
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_an_answer_without_the_scorer_is_told_in_the_log(loop, caplog) -> None:
    async def score(message: dict) -> None:
        raise ConnectionError("nobody listens")

    scoring = ServiceScoring(SimpleNamespace(to_async=SimpleNamespace(score=score)), 50.0, loop)
    with pytest.raises(DependencyError):
        asyncio.run(scoring.score(SimpleNamespace(to_message=dict)))
    (told,) = caplog.messages
    assert told.startswith("degraded answers: 1; the scorer failed: ConnectionError")
