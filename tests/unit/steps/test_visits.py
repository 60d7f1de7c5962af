"""Simulated users whom an overloaded server refuses ask again, over real HTTP on loopback."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from homefeed.client import Client
from homefeed.data.world.config import world_config
from homefeed.data.world.live import SimulatedUsers
from homefeed.data.world.observed import item_id
from homefeed.errors import OverloadedError, ServerError
from homefeed.steps import visits
from homefeed.steps.visits import answer_day

WORLD = world_config("tiny", users=60)


def answer(path: str, body: dict[str, Any]) -> dict[str, Any]:
    """What a server says that took the request: the same page for everybody."""
    if path == "/v1/actions":
        return {"results": [{"status": "accepted"} for _ in body["actions"]]}
    page = [{"item_id": item_id(number)} for number in range(body["k"])]
    return {"items": page, "request_id": f"{body['user_id']}-{body['at']}"}


class Server:
    """Refuses each request ``refusals`` times with ``status``; remembers what it took."""

    def __init__(self, refusals: int, status: int = 429) -> None:
        self.refusals, self.status = refusals, status
        self.asked: dict[str, int] = {}
        self.taken: list[str] = []

    def take(self, path: str, sent: str) -> tuple[int, dict[str, Any]]:
        """The status and the body of an answer."""
        key = f"{path} {sent}"
        self.asked[key] = self.asked.get(key, 0) + 1
        if self.asked[key] <= self.refusals:
            return self.status, {"error": "overloaded; try again"}
        self.taken.append(key)
        return 200, answer(path, json.loads(sent))


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Server], Client]]:
    """A client of a server that is asked again at once."""
    monkeypatch.setattr(visits, "AGAIN_S", 0.0)
    running: list[ThreadingHTTPServer] = []

    def start(server: Server) -> Client:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
                status, said = server.take(self.path, sent)
                body = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *said: object) -> None:
                """Quiet."""

        running.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=running[-1].serve_forever, daemon=True).start()
        return Client(f"http://127.0.0.1:{running[-1].server_port}")

    yield start
    for http in running:
        http.shutdown()
        http.server_close()


def test_a_day_on_an_overloaded_server_is_the_day_on_an_idle_one(serve) -> None:
    idle, overloaded = Server(refusals=0), Server(refusals=2)
    days = []
    for server in (idle, overloaded):
        with serve(server) as client:
            days.append(answer_day(client, SimulatedUsers.of(WORLD), WORLD.days))
    assert days[0] == days[1]
    assert days[0]["requests"] > 0 < days[0]["actions"]
    assert sorted(idle.taken) == sorted(overloaded.taken)


def test_a_server_that_stays_overloaded_ends_the_day_in_one_line(serve, monkeypatch) -> None:
    monkeypatch.setattr(visits, "MOST_AGAIN", 3)
    server = Server(refusals=1_000)
    with serve(server) as client, pytest.raises(OverloadedError, match="answered 429: overloaded"):
        answer_day(client, SimulatedUsers.of(WORLD), WORLD.days)
    assert max(server.asked.values()) == 4


def test_any_other_refusal_is_not_asked_again(serve) -> None:
    server = Server(refusals=1, status=400)
    with serve(server) as client, pytest.raises(ServerError, match="answered 400"):
        answer_day(client, SimulatedUsers.of(WORLD), WORLD.days)
    assert set(server.asked.values()) == {1}
