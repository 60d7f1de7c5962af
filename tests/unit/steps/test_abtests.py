"""A test's two ends: its start waits for a server that can answer everybody, over real HTTP on
loopback; a verdict of roll back moves the champion where the champion is an arm that lost.
"""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from homefeed.abtest.definition import Arm, Definition, Metric
from homefeed.errors import ServerError
from homefeed.steps.abtests import carry_out, wait_for_arms

TEST = Definition(
    name="new-ranker",
    arms={"control": Arm(release=1), "new": Arm(release=2)},
    primary=Metric(name="clicks_per_request", actions=("click",), per="request"),
    layer="ranking",
    salt="salt",
)
ARMS = {"control": {"version": 1}, "new": {"version": 2}}
READY = {"ready": True, "tests": [{"name": "new-ranker", "arms": ARMS}]}


@pytest.fixture
def server() -> Iterator[tuple[str, list[dict]]]:
    """A server's address, and what its /readyz says: one answer after the other, then the last."""
    answers: list[dict] = []

    class Readyz(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answers.pop(0) if len(answers) > 1 else answers[0]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *said: object) -> None:
            """Quiet."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Readyz)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}", answers
    http.shutdown()
    http.server_close()


def test_waiting_ends_when_the_server_reports_the_arms(server) -> None:
    url, answers = server
    others = {"control": {"version": 1}, "new": {"version": 1}}
    answers += [
        {"ready": True, "tests": []},
        {"ready": True, "tests": [{"name": "new-ranker", "arms": others}]},
        READY,
    ]
    wait_for_arms(url, TEST, timeout_s=10)
    assert answers == [READY]


def test_a_server_without_a_champion_is_not_ready_though_it_has_the_arms(server) -> None:
    url, answers = server
    answers.append({**READY, "ready": False, "reason": "release version 7: another version"})
    with pytest.raises(ServerError, match="release version 7: another version"):
        wait_for_arms(url, TEST, timeout_s=0.3)


@dataclass
class Registry:
    """A registry whose champion came after release 9; it keeps what it was asked to do."""

    now: int
    asked: list[str] = field(default_factory=list)

    def champion(self) -> int:
        return self.now

    def rollback(self, reason: str, **kept: object) -> None:
        self.now = 9
        self.asked.append("rollback")

    def record(self, action: str, version: int, reason: str, **kept: object) -> None:
        self.asked.append(f"{action} {version}")


@pytest.mark.parametrize(
    ("control", "champion", "asked"),
    [
        ("b", 2, "hold 2"),
        ("b", 1, "rollback"),
        ("a", 1, "hold 1"),
        ("a", 2, "rollback"),
        ("", 1, "hold 1"),  # written before verdicts named their control
        ("", 2, "rollback"),
    ],
)
def test_roll_back_takes_the_champion_back_where_it_is_a_treatment_and_never_the_control(
    control: str, champion: int, asked: str, tmp_path: Path
) -> None:
    verdict = {"kind": "live A/B test", "test": "t", "decision": "rollback", "arm": None}
    verdict |= {"release": None, "reasons": ["worse"], "live": False, "releases": {"a": 1, "b": 2}}
    verdict |= {"control": control} if control else {}
    registry = Registry(champion)
    said = carry_out(registry, tmp_path, verdict, {}, 0.0)
    assert registry.asked == [asked]
    assert f"release {registry.now}" in said
