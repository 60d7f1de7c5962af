"""The second service: the transformer, on a GPU where there is one. Never expose it.

BentoML sends Python pickles between services, so whoever reaches this one runs code in it: it
listens on a Unix socket of the machine, and nothing else may be mapped to it.
"""

from typing import Any

import bentoml

from serving.building import build_rankers
from serving.scoring import ScoreRequest
from serving.settings import Settings
from serving.tuning import freeze_garbage

# As shipped, the client between services closes its session every 100 requests and fails those
# that are in work (up to 22 % of requests from 8 clients on).
KEEP_SESSION = {"max_requests": 10**9, "max_age": 1e9}
# BentoML opens spans for every request and message though no exporter is installed: left out,
# a call between the services costs 3.1 CPU-ms instead of 4.9.
NO_SPANS = {"excluded_urls": ".*"}


@bentoml.service(
    name="homefeed_scorer",
    runner_connection=KEEP_SESSION,
    tracing=NO_SPANS,
    logging={"access": {"enabled": False}},
    traffic={"timeout": 30},
)
class ScorerService:
    """Probabilities per head for one user's candidates."""

    def __init__(self) -> None:
        self._catalog, self._rankers = build_rankers(Settings.from_env(), freeze_garbage)
        self._catalog.start()

    @bentoml.api
    def score(self, message: Any) -> Any:
        """A ScoreRequest's message → float32 [N, H]."""
        return self._rankers.score(ScoreRequest.from_message(message))

    @bentoml.api
    async def loaded(self) -> Any:
        """Release version → the key of what can be scored now."""
        return dict(self._rankers.loaded())

    @bentoml.on_shutdown
    def stop(self) -> None:
        """Stop following the ledger."""
        self._catalog.stop()
