"""The platform that users meet: the service's own request path, in this process or over HTTP.

Both speak like `homefeed.client.Client`, and both are put together by `serving.building`: the
same assignment, features, retrieval, ranking and log. In process there is no socket, no JSON and
no second process: a request costs what its work costs.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from homefeed.config import Config
from homefeed.errors import ServerError
from serving.settings import Settings

PATIENT_MS = 60_000.0  # a budget that a busy machine does not overrun: nothing degrades for it


class Platform(Protocol):
    """What a life talks to."""

    def feed(self, user_id: int, *, k: int, surface: str, at: float) -> dict[str, Any]:
        """As Client.feed."""
        ...

    def actions(self, actions: Sequence[dict], *, at: float) -> dict[str, Any]:
        """As Client.actions."""
        ...

    def explain(self, request_id: str) -> dict[str, Any] | None:
        """As Client.explain, just after the request."""
        ...

    def refreshed(self, as_of_s: int) -> None:
        """Return when the snapshot of ``as_of_s`` is served."""
        ...

    def close(self) -> None:
        """Write what is queued, end all."""
        ...


def settings_of(config: Config, candidates: int, utility: str) -> Settings:
    """The server's settings (``HOMEFEED_*`` counts), with budgets that never cut."""
    return replace(
        Settings.from_env(),
        workspace=config.workspace,
        simulated_clock=True,
        candidates=candidates,
        utility=utility,
        features_budget_ms=PATIENT_MS,
        log_budget_ms=PATIENT_MS,
        scorer_budget_ms=PATIENT_MS,
        durable_sync="NORMAL",
        explanations=200,
    )


class _Direct:
    """Scores at once: a life has one request at a time, so a thread would only be waited for."""

    def __init__(self, rankers: Any) -> None:
        self._rankers = rankers

    async def score(self, request: Any) -> np.ndarray:
        return self._rankers.score(request)

    def loaded(self) -> dict[int, str]:
        return self._rankers.loaded()


class InProcess:
    """The request path without a socket."""

    def __init__(self, settings: Settings) -> None:
        from serving.building import build_rankers, build_worker

        self._settings, self._loop = settings, asyncio.new_event_loop()
        self._scorers, rankers = build_rankers(settings, lambda: None)
        self._worker = build_worker(settings, _Direct(rankers), lambda: None)
        self._refresh()

    def feed(self, user_id: int, *, k: int, surface: str, at: float) -> dict[str, Any]:
        from serving.requests import RankingRequest

        request = RankingRequest(user_id=user_id, k=k, surface=surface, time_ms=round(at * 1000))
        return self._loop.run_until_complete(self._worker.path.rank(request, {}))

    def actions(self, actions: Sequence[dict], *, at: float) -> dict[str, Any]:
        recorded = self._worker.path.record(round(at * 1000), list(actions))
        return self._loop.run_until_complete(recorded)

    def explain(self, request_id: str) -> dict[str, Any] | None:
        return self._worker.path.explain(request_id)

    def refreshed(self, as_of_s: int) -> None:
        self._refresh()
        _require_served(self._worker.path.status(), as_of_s)

    def close(self) -> None:
        self._worker.close()
        self._loop.close()

    def _refresh(self) -> None:
        self._scorers.refresh()
        self._worker.catalog.refresh()
        if not self._worker.path.ready():
            raise ServerError(f"nothing is served: {self._worker.path.status()['problems']}")


class OverHttp:
    """A real server of its own, with the simulated clock."""

    def __init__(self, settings: Settings) -> None:
        from serving.run import IN_PROCESS, start_server

        self._server = start_server(
            settings.workspace, simulated_clock=True, scorer=IN_PROCESS, settings=settings
        )
        self._client = self._server.client()
        self.feed, self.actions = self._client.feed, self._client.actions
        self.explain = self._client.explain

    def refreshed(self, as_of_s: int, timeout_s: float = 60.0) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            status = self._client.ready()
            if _served_as_of(status) == as_of_s:
                return
            if time.monotonic() > deadline:
                _require_served(status, as_of_s)
            time.sleep(0.2)

    def close(self) -> None:
        self._client.close()
        self._server.stop()


def _served_as_of(status: dict[str, Any]) -> int | None:
    return (status.get("champion") or {}).get("snapshot_as_of_s")


def _require_served(status: dict[str, Any], as_of_s: int) -> None:
    if (found := _served_as_of(status)) != as_of_s:
        raise ServerError(
            f"served is the snapshot of {found}, wanted is {as_of_s}: {status['problems']}"
        )
