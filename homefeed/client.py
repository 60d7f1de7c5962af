"""A small client of a running server: for simulated users, for scripts, for tests."""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from homefeed.errors import OverloadedError, ServerError

ExternalId = int | str
TOO_MANY = 429


class Client:
    """Speaks to one server over kept-alive connections; safe for threads."""

    def __init__(self, url: str, *, timeout_s: float = 30.0) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(base_url=self.url, timeout=timeout_s, trust_env=False)

    def feed(
        self,
        user_id: ExternalId,
        *,
        k: int | None = None,
        surface: str | None = None,
        at: float | None = None,
    ) -> dict[str, Any]:
        """POST /v1/feed; ``at`` is in seconds, for servers with a simulated clock."""
        return self._post("/v1/feed", _given(user_id=user_id, k=k, surface=surface, at=at))

    def rank(
        self,
        user_id: ExternalId,
        candidates: Sequence[ExternalId],
        *,
        k: int | None = None,
        surface: str | None = None,
        at: float | None = None,
    ) -> dict[str, Any]:
        """POST /v1/rank."""
        body = _given(user_id=user_id, candidates=list(candidates), k=k, surface=surface, at=at)
        return self._post("/v1/rank", body)

    def actions(
        self, actions: Sequence[Mapping[str, Any]], *, at: float | None = None
    ) -> dict[str, Any]:
        """POST /v1/actions; durable when it returns, one result per action."""
        return self._post("/v1/actions", _given(actions=list(actions), at=at))

    def explain(self, request_id: str) -> dict[str, Any]:
        """GET /v1/explain/{request_id}."""
        return self._answer("GET", f"/v1/explain/{request_id}")

    def ready(self) -> dict[str, Any]:
        """GET /readyz: what the server serves; ``ready`` is false while it serves nothing."""
        return self._answer("GET", "/readyz", also=(503,))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._answer("POST", path, json=body)

    def _answer(self, method: str, path: str, *, also: tuple[int, ...] = (), **kwargs: Any) -> Any:
        try:
            response = self._http.request(method, path, **kwargs)
        except httpx.HTTPError as error:
            raise ServerError(
                f"no answer from {self.url}{path} ({error}); is the server up? (homefeed serve)"
            ) from error
        if response.status_code != 200 and response.status_code not in also:
            kind = OverloadedError if response.status_code == TOO_MANY else ServerError
            raise kind(f"{self.url}{path} answered {response.status_code}: {_why(response)}")
        return response.json()


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _why(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]
