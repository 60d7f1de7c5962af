"""The CPU service: HTTP, assignment, feature reads, retrieval, response.

``Feed`` joins the scorer as a second service (the default, and what the tests run); the same code
with the scorer in this process is ``FeedOneProcess``, for machines with few cores and no GPU.
"""

import asyncio
import logging

import bentoml

from serving.building import build_rankers, build_worker
from serving.http import Edge, Front, make_app
from serving.metrics import Observer
from serving.scorer_service import KEEP_SESSION, NO_SPANS, ScorerService
from serving.scoring import InProcessScoring, ServiceScoring
from serving.settings import Settings
from serving.tuning import freeze_garbage

logging.getLogger("homefeed.serving").setLevel(logging.INFO)  # what is loaded, in each worker
EDGE = Edge()  # one per worker process
APP = make_app(EDGE)
OPTIONS = {
    "runner_connection": KEEP_SESSION,
    "tracing": NO_SPANS,
    "logging": {"access": {"enabled": False}},
    "metrics": {"enabled": False},  # why: serving.metrics
    "traffic": {"timeout": 60},
}


@bentoml.service(name="homefeed", **OPTIONS)
class Feed:
    """Ranked feeds over HTTP."""

    scorer = bentoml.depends(ScorerService)

    def __init__(self) -> None:
        settings = Settings.from_env()
        loop = asyncio.get_running_loop()
        scoring = ServiceScoring(self.scorer, settings.scorer_budget_ms, loop)
        self._worker = build_worker(settings, scoring, freeze_garbage)
        self._worker.open(EDGE, Observer())

    @bentoml.on_shutdown
    def stop(self) -> None:
        """Write what is queued."""
        self._worker.close()


@bentoml.service(name="homefeed_one_process", **OPTIONS)
class FeedOneProcess:
    """Ranked feeds over HTTP, the scorer in the same process."""

    def __init__(self) -> None:
        settings = Settings.from_env()
        self._scorers, rankers = build_rankers(settings, freeze_garbage)
        self._scorers.start()
        scoring = InProcessScoring(rankers, settings.scorer_budget_ms)
        self._worker = build_worker(settings, scoring, freeze_garbage)
        self._worker.open(EDGE, Observer())

    @bentoml.on_shutdown
    def stop(self) -> None:
        """Write what is queued."""
        self._worker.close()
        self._scorers.stop()


Feed.add_asgi_middleware(Front, ours=APP)
FeedOneProcess.add_asgi_middleware(Front, ours=APP)
