"""The HTTP edge: routes, errors mapped once to statuses, early 429, health and documentation.

It is a plain Starlette app in front of the BentoML service's: Bento's own request handling costs
several times as much per call (pydantic models in, models out), and a feed is a small JSON object.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from homefeed.errors import BusyError, HomefeedError, StorageError, UnknownIdError
from serving.metrics import exposition
from serving.openapi import DOCS_PAGE, document
from serving.requests import RankingRequest, RequestError, parse_actions, parse_feed, parse_rank
from serving.settings import Settings

logger = logging.getLogger("homefeed.serving")

Stages = dict[str, float]  # stage → milliseconds, in order
BODY_S = 10.0  # within which a body has to arrive: a client that is gone holds it no longer
ARRIVING = 4  # bodies that may be on their way for each request that may be in work


class RequestPath(Protocol):
    """What the edge calls: everything behind it knows nothing of HTTP."""

    async def rank(self, request: RankingRequest, stages: Stages) -> dict[str, Any]:
        """Answer /v1/feed or /v1/rank."""
        ...

    async def record(self, arrived_ms: int, actions: list[Any]) -> dict[str, Any]:
        """Answer /v1/actions."""
        ...

    def explain(self, request_id: str) -> dict[str, Any] | None:
        """Answer /v1/explain."""
        ...

    def status(self) -> dict[str, Any]:
        """Answer /readyz: what is served; ``ready`` says whether anything is."""
        ...

    def ready(self) -> bool:
        """Whether there is anything to serve."""
        ...


@dataclass
class Edge:
    """One worker's edge; the service sets ``path`` when it has built the request path."""

    settings: Settings = field(default_factory=Settings)
    path: RequestPath | None = None
    observe: Callable[[str, int, Stages, str | None], None] = lambda *_: None
    in_flight: int = 0  # requests in work: their bodies are here
    arriving: int = 0  # requests whose bodies are on their way

    async def feed(self, request: Request) -> Response:
        """POST /v1/feed."""
        return await self._ranked(request, "feed", parse_feed)

    async def rank(self, request: Request) -> Response:
        """POST /v1/rank."""
        return await self._ranked(request, "rank", parse_rank)

    async def actions(self, request: Request) -> Response:
        """POST /v1/actions."""

        async def answer(path: RequestPath, body: bytes, stages: Stages) -> dict[str, Any]:
            arrived_ms, actions = parse_actions(body, self.settings)
            return await path.record(arrived_ms, actions)

        return await self._answer(request, "actions", answer)

    async def explain(self, request: Request) -> Response:
        """GET /v1/explain/{request_id}."""

        async def answer(path: RequestPath, body: bytes, stages: Stages) -> dict[str, Any]:
            request_id = request.path_params["request_id"]
            found = path.explain(request_id)
            if found is None:
                raise RequestError(
                    f"request {request_id!r} is unknown; the last {self.settings.explanations} "
                    "requests can be explained",
                    status=404,
                )
            return found

        return await self._answer(request, "explain", answer)

    async def readyz(self, request: Request) -> Response:
        """GET /readyz: 200 with what is served, or 503 with what is missing."""
        status = self.path.status() if self.path else {"ready": False, "reason": "starting"}
        return JSONResponse(status, status_code=200 if status["ready"] else 503)

    async def _ranked(self, request: Request, endpoint: str, parse: Callable) -> Response:
        async def answer(path: RequestPath, body: bytes, stages: Stages) -> dict[str, Any]:
            return await path.rank(parse(body, self.settings), stages)

        return await self._answer(request, endpoint, answer)

    async def _body(self, request: Request) -> bytes:
        """The request's body; RequestError where it is larger than any valid one, or does not come.

        Until it is here its request is not in work: a stalled client takes nobody's place.
        """
        body, most = bytearray(), self.settings.max_body_bytes
        self.arriving += 1
        try:
            async with asyncio.timeout(BODY_S):
                async for part in request.stream():
                    body += part
                    if len(body) > most:
                        said = f"the body holds more than {most} bytes; send fewer at once"
                        raise RequestError(said, status=413)
        except TimeoutError:
            said = f"the body did not arrive within {BODY_S:g} s; send it again"
            raise RequestError(said, status=408) from None
        finally:
            self.arriving -= 1
        return bytes(body)

    def _require_room(self, arriving: int = 0) -> None:
        """RequestError (429) where as many requests are in work, or on their way, as may be."""
        most = self.settings.max_in_flight
        if self.in_flight >= most or arriving >= ARRIVING * most:
            said = f"{self.in_flight + arriving} requests are in work; try again"
            raise RequestError(said, status=429)

    async def _answer(
        self,
        request: Request,
        endpoint: str,
        answer: Callable[[RequestPath, bytes, Stages], Awaitable[dict[str, Any]]],
    ) -> Response:
        """Refuse early when full, answer, map errors, and say in Server-Timing where time went."""
        start = time.perf_counter()
        stages: Stages = {}
        value: dict[str, Any] = {}
        try:
            if self.path is None or not self.path.ready():
                response = _error(503, "the server has nothing to serve yet; see /readyz")
            else:
                self._require_room(self.arriving)
                body = await self._body(request)
                self._require_room()  # others may have arrived before it
                value = await self._in_work(answer(self.path, body, stages))
                response = _json(value)
        except Exception as error:
            response = error_response(error)
        stages["total"] = (time.perf_counter() - start) * 1000
        response.headers["Server-Timing"] = ", ".join(
            f"{name};dur={spent:.3f}" for name, spent in stages.items()
        )
        self.observe(endpoint, response.status_code, stages, value.get("degraded"))
        return response

    async def _in_work(self, answer: Awaitable[dict[str, Any]]) -> dict[str, Any]:
        self.in_flight += 1
        try:
            return await answer
        finally:
            self.in_flight -= 1


def error_response(error: Exception) -> JSONResponse:
    """The one place where an exception becomes an HTTP status."""
    if isinstance(error, RequestError):
        return _error(error.status, str(error), retry_after=1 if error.status == 429 else None)
    if isinstance(error, ClientDisconnect):  # nobody reads this; it is counted
        return _error(400, "the client went away before its request had arrived")
    if isinstance(error, UnknownIdError):
        return _error(404, str(error))
    if isinstance(error, StorageError | BusyError):
        return _error(503, str(error), retry_after=1)
    if isinstance(error, HomefeedError):
        return _error(503, str(error))
    logger.exception("a request failed", exc_info=error)
    return _error(500, "internal error; the server's log has the details")


def make_app(edge: Edge) -> Starlette:
    """The routes of one worker."""

    async def openapi(request: Request) -> Response:
        return JSONResponse(document())

    async def docs(request: Request) -> Response:
        return HTMLResponse(DOCS_PAGE)

    async def index(request: Request) -> Response:
        return RedirectResponse("/docs")

    async def metrics(request: Request) -> Response:
        body, media_type = exposition()
        return Response(body, headers={"Content-Type": media_type})

    async def refused(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        allowed = error.headers if isinstance(error, HTTPException) else None
        known = ", ".join(sorted(document()["paths"]))
        said = f"{request.method} {request.url.path} is not served; paths: {known} (see /docs)"
        return JSONResponse({"error": said}, status_code=status, headers=allowed)

    return Starlette(
        exception_handlers={404: refused, 405: refused},
        routes=[
            Route("/v1/feed", edge.feed, methods=["POST"]),
            Route("/v1/rank", edge.rank, methods=["POST"]),
            Route("/v1/actions", edge.actions, methods=["POST"]),
            Route("/v1/explain/{request_id}", edge.explain, methods=["GET"]),
            Route("/openapi.json", openapi, methods=["GET"]),
            Route("/docs", docs, methods=["GET"]),
            Route("/", index, methods=["GET"]),
            Route("/readyz", edge.readyz, methods=["GET"]),
            Route("/metrics", metrics, methods=["GET"]),
        ],
    )


_OF_BENTO = ("/livez", "/healthz", "/static_content/")


class Front:
    """Puts our paths before Bento's, of which only ``_OF_BENTO`` are used.

    Bento's index page loads a script from the network, its /readyz has no body, and a path that
    it does not know is answered without our one line of what is known.
    """

    def __init__(self, app: Any, ours: Starlette) -> None:
        self.app, self.ours = app, ours

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        """Answer, or pass on what is Bento's."""
        is_ours = scope["type"] == "http" and not scope["path"].startswith(_OF_BENTO)
        await (self.ours if is_ours else self.app)(scope, receive, send)


def _json(value: dict[str, Any]) -> Response:
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return Response(body.encode(), media_type="application/json")


def _error(status: int, message: str, retry_after: int | None = None) -> JSONResponse:
    headers = {"Retry-After": str(retry_after)} if retry_after else None
    return JSONResponse({"error": message}, status_code=status, headers=headers)
