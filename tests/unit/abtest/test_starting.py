"""The start of a test waits for a server that can answer everybody, over real HTTP on loopback."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from homefeed.abtest.definition import Arm, Definition, Metric
from homefeed.abtest.running import RUNNING, STOPPED, running_definitions, state_of
from homefeed.abtest.starting import start_and_wait, wait_for_arms
from homefeed.errors import ServerError

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
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
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
    wait_for_arms(url, TEST, timeout_s=300)
    assert answers == [READY]


def test_a_server_without_a_champion_is_not_ready_though_it_has_the_arms(server) -> None:
    url, answers = server
    answers.append({**READY, "ready": False, "reason": "release version 7: another version"})
    with pytest.raises(ServerError, match="release version 7: another version"):
        wait_for_arms(url, TEST, timeout_s=0)


@pytest.mark.parametrize("answer", [["ok"], {"tests": ["all"]}, {"tests": [{"id": 1}]}])
def test_another_server_at_that_address_is_told_as_one(server, answer) -> None:
    url, answers = server
    answers.append(answer)
    with pytest.raises(ServerError, match="its /readyz is not Homefeed's"):
        wait_for_arms(url, TEST, timeout_s=0)


def test_a_test_that_no_server_answers_in_time_is_stopped_with_the_reason(
    server, tmp_path: Path
) -> None:
    url, answers = server
    answers.append({"ready": True, "tests": []})
    with pytest.raises(ServerError, match="'new-ranker' was stopped, start it again under another"):
        start_and_wait(tmp_path, TEST, url, at_s=5.0, champion=1, timeout_s=0)
    state = state_of(tmp_path, "new-ranker")
    assert state.status == STOPPED
    assert f"no server at {url} reported the arms" in state.reason
    assert running_definitions(tmp_path).definitions == ()


def test_a_test_that_ran_before_runs_on_though_its_server_is_away(server, tmp_path: Path) -> None:
    url, answers = server
    answers.append(READY)
    start_and_wait(tmp_path, TEST, url, at_s=5.0, champion=1, timeout_s=300)
    answers[:] = [{"ready": True, "tests": []}]
    with pytest.raises(ServerError, match=r"start one with `homefeed serve`$"):
        start_and_wait(tmp_path, TEST, url, at_s=6.0, champion=1, timeout_s=0)
    assert state_of(tmp_path, "new-ranker").status == RUNNING


def test_an_address_that_cannot_be_asked_leaves_no_test_running(tmp_path: Path) -> None:
    with pytest.raises(httpx.InvalidURL):
        start_and_wait(tmp_path, TEST, "http://::1:3000", at_s=5.0, champion=1, timeout_s=0)
    assert state_of(tmp_path, "new-ranker").status == STOPPED
