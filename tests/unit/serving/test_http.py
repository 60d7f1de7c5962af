import asyncio
import json
from dataclasses import replace

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from homefeed.errors import BusyError, HomefeedError, ReleaseError, StorageError, UnknownIdError
from serving import http
from serving.http import Edge, Front, error_response, make_app
from serving.openapi import document
from serving.requests import RequestError
from serving.settings import Settings


class Path:
    """A request path that answers what a test puts into it."""

    def __init__(self) -> None:
        self.outcome: object = {"items": [], "degraded": None}
        self.wait: asyncio.Event | None = None
        self.is_ready = True

    async def rank(self, request, stages):
        stages["score"] = 1.5
        if self.wait is not None:
            await self.wait.wait()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    async def record(self, arrived_ms, actions):
        return {"accepted": len(actions)}

    def explain(self, request_id):
        return {"request_id": request_id} if request_id == "known" else None

    def status(self):
        return {"ready": self.is_ready}

    def ready(self):
        return self.is_ready


@pytest.fixture
def edge() -> Edge:
    return Edge(settings=Settings(max_in_flight=2, simulated_clock=True), path=Path())


def ask(edge: Edge, method: str, path: str, app=None, **kwargs) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=app or make_app(edge))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **kwargs)

    return asyncio.run(send())


def test_a_feed_is_answered_with_its_stages_in_the_header(edge):
    response = ask(edge, "POST", "/v1/feed", json={"user_id": 1})
    assert (response.status_code, response.json()["items"]) == (200, [])
    assert "score;dur=1.500, total;dur=" in response.headers["Server-Timing"]


def test_a_refused_request_is_one_clear_line(edge):
    response = ask(edge, "POST", "/v1/feed", json={"user_id": 1, "kk": 2})
    assert response.status_code == 400
    assert response.json() == {"error": "unknown field 'kk'; did you mean 'k'?"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/feed", 405), ("POST", "/v2/feed", 404), ("GET", "/v1/explain/a/b", 404)],
)
def test_a_path_or_method_that_is_not_served_is_json_too_and_names_what_is(
    edge, method, path, status
):
    response = ask(edge, method, path)
    assert response.status_code == status
    said = response.json()["error"]
    assert said.startswith(f"{method} {path} is not served; paths: ")
    assert "/v1/rank" in said
    assert response.headers.get("Allow") == ("POST" if status == 405 else None)


@pytest.mark.parametrize(
    ("path", "status"), [("/livez", 204), ("/static_content/swagger-ui.css", 204), ("/readyz", 200)]
)
def test_only_what_is_used_of_bento_is_reached(edge, path, status):
    async def bento(scope, receive, send):
        await Response(status_code=204)(scope, receive, send)

    front = Front(bento, make_app(edge))
    assert ask(edge, "GET", path, app=front).status_code == status
    assert ask(edge, "GET", "/", app=front).headers["Location"] == "/docs", "no page of the network"
    assert ask(edge, "GET", "/schema.json", app=front).status_code == 404


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RequestError("bad"), 400),
        (RequestError("gone", status=404), 404),
        (UnknownIdError("no item 5"), 404),
        (StorageError("disk full"), 503),
        (BusyError("locked"), 503),
        (ReleaseError("parts differ"), 503),
        (HomefeedError("other"), 503),
    ],
)
def test_each_error_has_its_status_and_keeps_its_line(error, status):
    response = error_response(error)
    assert response.status_code == status
    assert json.loads(response.body) == {"error": str(error)}


def test_a_body_larger_than_any_valid_request_is_refused_before_all_of_it_is_read(edge):
    edge.settings = replace(edge.settings, max_body_bytes=1000)
    sent = []

    async def endless():
        while True:
            sent.append(b" " * 400)
            yield sent[-1]

    response = ask(edge, "POST", "/v1/feed", content=endless())
    assert response.status_code == 413
    assert response.json()["error"] == "the body holds more than 1000 bytes; send fewer at once"
    assert len(sent) == 3


def test_a_client_that_goes_away_is_no_failure_of_the_server(edge, caplog):
    told = []
    edge.observe = lambda endpoint, status, *_: told.append((endpoint, status))

    async def hang_up() -> dict[str, object]:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "POST", "path": "/v1/feed", "headers": []}
    asyncio.run(edge.feed(Request(scope, hang_up)))
    assert (told, caplog.records) == ([("feed", 400)], [])


def test_an_error_of_ours_tells_nothing_of_the_inside(edge):
    edge.path.outcome = KeyError("secret")
    response = ask(edge, "POST", "/v1/feed", json={"user_id": 1})
    assert response.status_code == 500
    assert "secret" not in response.text


def test_a_full_server_refuses_at_once_and_recovers(edge):
    async def story() -> list[int]:
        edge.path.wait = asyncio.Event()
        transport = httpx.ASGITransport(app=make_app(edge))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:

            def feed():
                return client.post("/v1/feed", json={"user_id": 1})

            held = [asyncio.create_task(feed()) for _ in range(2)]
            while edge.in_flight < 2:
                await asyncio.sleep(0)
            refused = await feed()
            assert refused.headers["Retry-After"] == "1"
            edge.path.wait.set()
            held = [await task for task in held]
            return [refused.status_code, *(r.status_code for r in held), (await feed()).status_code]

    assert asyncio.run(story()) == [429, 200, 200, 200]


def test_bodies_that_do_not_come_take_no_places_and_are_given_up(edge, monkeypatch):
    monkeypatch.setattr(http, "BODY_S", 0.05)

    async def stalled():
        yield b'{"user_id": '
        await asyncio.Event().wait()

    async def story() -> list[int]:
        transport = httpx.ASGITransport(app=make_app(edge))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            stalls = [
                asyncio.create_task(client.post("/v1/feed", content=stalled())) for _ in range(7)
            ]
            while edge.arriving < 7:
                await asyncio.sleep(0)
            answered = await client.post("/v1/feed", json={"user_id": 1})
            given_up = [(await stall).status_code for stall in stalls]
            return [answered.status_code, *set(given_up), edge.arriving, edge.in_flight]

    assert asyncio.run(story()) == [200, 408, 0, 0]


def test_more_bodies_than_may_be_on_their_way_are_refused(edge):
    edge.arriving = http.ARRIVING * edge.settings.max_in_flight
    response = ask(edge, "POST", "/v1/feed", json={"user_id": 1})
    assert (response.status_code, response.headers["Retry-After"]) == (429, "1")


def test_before_there_is_a_release_requests_are_told_where_to_look(edge):
    edge.path.is_ready = False
    response = ask(edge, "POST", "/v1/feed", json={"user_id": 1})
    assert response.status_code == 503
    assert "/readyz" in response.json()["error"]


def test_an_unknown_request_cannot_be_explained(edge):
    assert ask(edge, "GET", "/v1/explain/known").json() == {"request_id": "known"}
    response = ask(edge, "GET", "/v1/explain/nothing")
    assert response.status_code == 404
    assert "'nothing' is unknown" in response.json()["error"]


def test_every_route_is_documented_and_the_page_needs_no_network(edge):
    routes = {route.path for route in make_app(edge).routes if route.path.startswith("/v1")}
    assert routes <= set(document()["paths"])
    assert ask(edge, "GET", "/openapi.json").json() == document()
    assert "//" not in ask(edge, "GET", "/docs").text.replace("<!DOCTYPE", "")


def test_observers_are_told_of_statuses_and_degraded_answers(edge):
    seen = []
    edge.observe = lambda endpoint, status, stages, degraded: seen.append(
        (endpoint, status, degraded)
    )
    edge.path.outcome = {"degraded": "popular_items"}
    ask(edge, "POST", "/v1/feed", json={"user_id": 1})
    ask(edge, "POST", "/v1/feed", json={})
    assert seen == [("feed", 200, "popular_items"), ("feed", 400, None)]
