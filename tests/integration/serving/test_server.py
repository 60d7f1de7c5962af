import os
import signal
import subprocess
import sys
import time

import httpx
import psutil
import pytest

from homefeed.abtest.assignment import arm_of
from homefeed.abtest.definition import parse_definition, write_definition
from homefeed.abtest.exposure import outcomes, read_log
from homefeed.abtest.running import start_test, stop_test
from homefeed.client import Client
from homefeed.errors import ServerError
from homefeed_cli.main import main
from serving.event_log import EventLog
from serving.run import start_server
from serving.synthetic import promote

pytestmark = [pytest.mark.integration, pytest.mark.slow]

AT_S = 1_700_000_000 + 3_600  # an hour after the workspace's features were published


def items(answer: dict) -> list:
    return [item["item_id"] for item in answer["items"]]


def until(condition, timeout_s=300.0):
    """Wait for ``condition()`` to be true; its last value either way."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return value


def answers_until(client, *, release: int, timeout_s=300.0) -> set:
    """Release and degradation of every answer up to the first one of ``release``."""
    seen: set = set()
    deadline = time.monotonic() + timeout_s
    while release not in {version for version, _ in seen} and time.monotonic() < deadline:
        answer = client.feed(9, at=AT_S)
        seen.add((answer["release"], answer["degraded"]))
    return seen


def test_readyz_says_what_is_served(client):
    status = client.ready()
    assert status["ready"]
    champion = status["champion"]
    assert champion["version"] == 1
    assert champion["snapshot_as_of_s"] == 1_700_000_000
    assert champion["feature_service"] == f"release_{champion['release'][:8]}"


def test_a_known_user_is_served_in_full_and_the_next_feed_knows_what_was_posted(client):
    first = client.feed(1, k=5, at=AT_S)
    assert first["degraded"] is None
    assert [item["score"] is not None for item in first["items"]] == [True] * 5
    liked = items(first)[0]
    posted = client.actions(
        [
            {
                "user_id": 1,
                "item_id": liked,
                "action_type": "like",
                "request_id": first["request_id"],
            }
        ],
        at=AT_S + 10,
    )
    assert posted["results"][0]["status"] == "accepted"
    before = client.explain(first["request_id"])["features"]
    after = client.explain(client.feed(1, k=5, at=AT_S + 20)["request_id"])["features"]
    assert (before["merged_from_log"], after["merged_from_log"]) == (0, 1)
    assert after["sequence_length"] == before["sequence_length"] + 1


def test_an_action_of_the_same_moment_does_not_count_yet(client):
    client.actions([{"user_id": 2, "item_id": 1_000_001, "action_type": "like"}], at=AT_S)
    asked = client.feed(2, at=AT_S)
    assert client.explain(asked["request_id"])["features"]["sequence_length"] == 20
    asked = client.feed(2, at=AT_S + 0.001)
    assert client.explain(asked["request_id"])["features"]["sequence_length"] == 21


def test_items_that_were_seen_do_not_come_back(client):
    shown: set = set()
    for page in range(4):
        answer = client.feed(3, k=10, at=AT_S + page)
        assert not shown & set(items(answer))
        shown |= set(items(answer))


def test_a_new_user_is_served_popular_items_and_told_so(client):
    answer = client.feed("Łucja-☃", k=5, at=AT_S)
    assert answer["degraded"] == "popular_items"
    assert answer["reasons"] == ["the feature store does not know this user"]
    assert answer["user_id"] == "Łucja-☃"
    assert len(items(answer)) == 5


def test_before_its_features_were_published_a_user_has_none(client):
    answer = client.feed(4, at=1_700_000_000 - 1)
    assert answer["degraded"] == "popular_items"
    assert "made after this request's time" in answer["reasons"][0]


def test_features_beyond_their_time_to_live_are_not_used(client):
    answer = client.feed(4, at=AT_S + 30 * 86_400)
    assert answer["degraded"] == "no_user_embedding"
    assert "days old" in answer["reasons"][0]


def test_given_candidates_are_ranked_and_an_unknown_one_is_named(client):
    answer = client.rank(5, [1_000_003, 1_000_001, 1_000_002], at=AT_S)
    assert sorted(items(answer)) == [1_000_001, 1_000_002, 1_000_003]
    with pytest.raises(ServerError, match=r"404: candidates\[1\] is item 'nothing'"):
        client.rank(5, [1_000_003, "nothing"], at=AT_S)


def test_a_feed_and_a_rank_of_the_same_items_agree_on_the_scores(client):
    feed = client.feed(6, k=10, at=AT_S)
    rank = client.rank(6, items(feed), at=AT_S)
    assert items(rank) == items(feed)
    scores = [item["score"] for item in feed["items"]]  # six digits: rounding moves the last one
    assert [item["score"] for item in rank["items"]] == pytest.approx(scores, abs=2e-6)


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("/v1/feed", b"{", 400, "the body is not JSON"),
        ("/v1/feed", b'{"user_id": null}', 400, "user_id is missing"),
        ("/v1/rank", b'{"user_id": 1}', 400, "candidates is missing"),
        ("/v1/actions", b'{"actions": []}', 400, "send a list of actions"),
    ],
)
def test_a_bad_request_is_answered_with_one_line(server, path, body, status, says):
    response = httpx.post(server.url + path, content=body)
    assert response.status_code == status
    assert says in response.json()["error"]


def test_health_metrics_and_documentation_are_there(server, client):
    client.feed(7, at=AT_S)
    assert httpx.get(f"{server.url}/livez").status_code == 200
    metrics = httpx.get(f"{server.url}/metrics").text
    assert 'homefeed_answers_total{endpoint="feed",status="200"}' in metrics
    assert 'homefeed_stage_seconds_bucket{endpoint="feed"' in metrics
    assert httpx.get(f"{server.url}/v1/explain/%ff").status_code == 404
    assert "is not served" in httpx.get(f"{server.url}/v2/%ff").json()["error"]
    metrics = httpx.get(f"{server.url}/metrics").content.decode()  # no path that was asked
    assert "v1/explain" not in metrics
    assert httpx.get(server.url).headers["Location"] == "/docs"
    assert httpx.get(f"{server.url}/docs").status_code == 200
    assert "/v1/feed" in httpx.get(f"{server.url}/openapi.json").json()["paths"]
    assert httpx.get(f"{server.url}/static_content/swagger-ui-bundle.js").status_code == 200


def test_actions_of_many_clients_are_all_recorded_once(server):
    from concurrent.futures import ThreadPoolExecutor

    def post(n: int) -> dict:
        with Client(server.url) as client:
            batch = [
                {"user_id": 8, "item_id": n, "action_type": "click", "event_id": f"many-{n}"},
                {"user_id": 8, "item_id": 0, "action_type": "click", "event_id": "many-shared"},
            ]
            return client.actions(batch, at=AT_S + n)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(40)))
    recorded = [a.event_id for a in EventLog(server.workspace / "events.db").actions_of("i:8")]
    assert sorted(recorded) == sorted([f"many-{n}" for n in range(40)] + ["many-shared"])
    first_results = [answer["results"][0]["status"] for answer in answers]
    assert first_results == ["accepted"] * 40


def test_the_server_follows_the_ledger_without_a_lost_request(server, client):
    promote(server.workspace, 2, at_s=AT_S)
    assert answers_until(client, release=2) == {(1, None), (2, None)}
    assert client.ready()["champion"]["version"] == 2
    promote(server.workspace, 1, at_s=AT_S)
    assert answers_until(client, release=1) == {(1, None), (2, None)}


def test_two_arms_answer_their_own_users_for_as_long_as_the_test_runs(server, client):
    definition = parse_definition(
        {
            "name": "arms",
            "arms": {"plain": {"release": 2}, "realtime": {"release": 1}},
            "primary": {"name": "likes", "actions": ["like"]},
            "traffic": 0.8,
        }
    )
    start_test(server.workspace, definition, at_s=AT_S)
    assert until(lambda: [test["name"] for test in client.ready()["tests"]]) == ["arms"]
    arms = client.ready()["tests"][0]["arms"]
    assert {name: arm["version"] for name, arm in arms.items()} == {"plain": 2, "realtime": 1}
    users = range(10, 40)
    answers = [{u: client.feed(u, k=3, at=AT_S + turn) for u in users} for turn in range(2)]
    for user in users:
        arm = arm_of(definition, f"i:{user}")
        release = {"plain": 2, "realtime": 1, None: 1}[arm]
        for turn in answers:
            assert (turn[user]["arm"], turn[user]["release"]) == (arm, release)
    assert {answer["arm"] for answer in answers[0].values()} == {"plain", "realtime", None}
    exposures, actions = read_log(server.workspace / "events.db", "arms")
    found = outcomes(definition, exposures, actions)
    assert (found.crossed_users, found.misassigned_users, found.wrong_release_requests) == (0, 0, 0)
    assert found.requests.sum() == 2 * len(found.user)
    stop_test(server.workspace, "arms", at_s=AT_S + 9, reason="enough")
    assert until(lambda: client.ready()["tests"] == [])
    assert {client.feed(u, k=3, at=AT_S + 20)["arm"] for u in users} == {None}


def test_an_arm_without_real_time_does_not_read_todays_actions(server, client):
    definition = parse_definition(
        {
            "name": "lag",
            "arms": {"plain": {"release": 2}, "realtime": {"release": 1}},
            "primary": {"name": "likes", "actions": ["like"]},
        }
    )
    start_test(server.workspace, definition, at_s=AT_S)
    assert until(lambda: client.ready()["tests"])
    merged = {"plain": set(), "realtime": set()}
    for user in range(30, 40):
        client.actions([{"user_id": user, "item_id": 1_000_001, "action_type": "like"}], at=AT_S)
        answer = client.feed(user, k=20, at=AT_S + 60)
        told = client.explain(answer["request_id"])
        merged[answer["arm"]].add(told["features"]["merged_from_log"])
        assert 1_000_001 not in items(answer)  # no arm shows what was seen
    assert merged == {"plain": {0}, "realtime": {1}}
    stop_test(server.workspace, "lag", at_s=AT_S + 9, reason="enough")


@pytest.mark.usefixtures("told_at_once")
def test_a_test_that_is_started_says_at_which_server_it_waits_until_that_has_its_arms(
    server, client, tmp_path, capsys
):
    arms = {"plain": {"release": 2}, "realtime": {"release": 1}}
    definition = parse_definition({"name": "told", "arms": arms, "primary": {"name": "requests"}})
    write_definition(tmp_path / "told.yaml", definition)
    port = server.url.rpartition(":")[2]
    place = (f"--set=storage.root={server.workspace}", f"--set=serving.port={port}")
    assert main(["ab", "start", str(tmp_path / "told.yaml"), *place]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "  verifying the releases of told",
        f"  waiting for the server at {server.url} to report the arms of told",
    ]
    assert [test["name"] for test in client.ready()["tests"]] == ["told"]
    stop_test(server.workspace, "told", at_s=time.time(), reason="enough")
    assert until(lambda: client.ready()["tests"] == [])


def test_a_killed_server_loses_nothing_it_answered_and_leaves_no_process(make_workspace):
    workspace = make_workspace()
    handle = start_server(workspace, scorer="in_process", wait_s=180)
    family = psutil.Process(handle.process.pid).children(recursive=True)
    with handle.client() as client:
        with pytest.raises(ServerError, match="400: at is 5"):
            client.feed(1, at=5)  # this server runs on the wall clock
        shown = [client.feed(user)["request_id"] for user in range(1, 6)]
        client.actions([{"user_id": 1, "item_id": 5, "action_type": "click", "event_id": "last"}])
    for process in family:
        process.send_signal(signal.SIGKILL)
    os.kill(handle.process.pid, signal.SIGKILL)
    handle.stop()
    log = EventLog(workspace / "events.db")
    assert [exposure.request_id for exposure in log.exposures()] == shown
    assert [action.event_id for action in log.actions()] == ["last"]
    assert until(lambda: not any(p.is_running() and p.status() != "zombie" for p in family))


def test_a_server_ends_when_its_starter_is_killed(make_workspace):
    script = (
        "import sys, time; from pathlib import Path; from serving.run import start_server\n"
        "handle = start_server(Path(sys.argv[1]), wait_for_release=False, wait_s=180)\n"
        "print(handle.process.pid, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", script, str(make_workspace())]
    starter = subprocess.Popen(command, stdout=subprocess.PIPE)
    supervisor = psutil.Process(int(starter.stdout.readline()))
    family = [supervisor, *supervisor.children(recursive=True)]
    assert len(family) >= 3
    starter.kill()
    starter.wait()
    assert until(lambda: not any(p.is_running() and p.status() != "zombie" for p in family))
