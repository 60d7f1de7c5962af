"""Simulated users of `world` answer the live server over HTTP, day after simulated day."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from homefeed.artifacts import read_json, write_json
from homefeed.client import Client
from homefeed.data.contract import Dataset
from homefeed.data.world.live import Action, SimulatedUsers, Visit
from homefeed.errors import OverloadedError, ServerError
from homefeed.progress import Progress
from homefeed.recipes import read_section

# Requests under way at once: while the scorer works on one, the other is assigned, read, answered.
IN_FLIGHT = 4
AGAIN_S = 1.0  # until an overloaded server is asked again: its Retry-After
MOST_AGAIN = 60  # times that one request is asked again


def visits_step(checked: Path, started: Path, world: str, abtest: str, out: Path) -> None:
    """Let the world's users come for the test's days; nothing to do on a recorded log."""
    begun, recipe = read_json(started), read_section("abtest", abtest)
    if not begun["live"]:
        write_json(out, {"requests": 0, "actions": 0})
        print("= a recorded log: nobody to ask")
        return
    config = read_section("world", world)
    users = SimulatedUsers.of(config, Dataset.open(checked))
    share = 1.0 if recipe.visitors is None else min(1.0, recipe.visitors / config.users)
    counts = {"requests": 0, "actions": 0}
    with Client(begun["url"]) as client:
        for day in range(config.days, config.days + recipe.days):
            for name, count in answer_day(client, users, day, share).items():
                counts[name] += count
    write_json(out, counts)
    those = f" of {share:.0%} of the users" if share < 1 else ""
    print(
        f"= {counts['requests']:,} requests, {counts['actions']:,} actions in {recipe.days} days"
        f"{those}"
    )


def answer_day(
    client: Client, users: SimulatedUsers, day: int, share: float = 1.0
) -> dict[str, int]:
    """One simulated day: who of ``share`` of the users comes asks for a feed, and acts.

    Different users' requests overlap; a user's own follow one another.
    """
    counts = {"requests": 0, "actions": 0}
    progress = Progress(f"simulated day {day}")

    def ask(visit: Visit) -> tuple[int, dict[str, Any]]:
        earlier = post(client, visit.earlier, None)
        at = float(visit.time_s)
        wanted = {"k": visit.length, "surface": visit.surface, "at": at}
        return earlier, admitted(lambda: client.feed(visit.user_id, **wanted))

    with ThreadPoolExecutor(IN_FLIGHT) as threads:
        for visits in users.rounds(day, share):
            posted = []
            for visit, (earlier, served) in zip(visits, threads.map(ask, visits), strict=True):
                actions = users.respond(visit, [item["item_id"] for item in served["items"]])
                posted.append(threads.submit(post, client, actions, served["request_id"]))
                counts["requests"] += 1
                counts["actions"] += earlier
                progress.advance()
            counts["actions"] += sum(done.result() for done in posted)
    progress.close()
    return counts


def admitted(ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a request is answered, asked again for as long as the server is overloaded.

    On a machine that others use, one slow answer is enough for a 429. It refuses before anything is
    logged, and a visit carries its own time, so to wait changes nothing of the test. Raises
    OverloadedError where a minute is not enough.
    """
    for _ in range(MOST_AGAIN):
        try:
            return ask()
        except OverloadedError:
            time.sleep(AGAIN_S)
    return ask()


def post(client: Client, actions: Sequence[Action], request_id: str | None) -> int:
    """Post actions when they are over; raises ServerError where one is not taken."""
    if not actions:
        return 0
    bodies = [_body(action, request_id) for action in actions]
    at = max(action.available_s for action in actions)
    answer = admitted(lambda: client.actions(bodies, at=float(at)))
    refused = [r for r in answer["results"] if r["status"] not in ("accepted", "duplicate")]
    if refused:
        raise ServerError(f"the server refused an action of a simulated user: {refused[0]}")
    return len(bodies)


def _body(action: Action, request_id: str | None) -> dict[str, Any]:
    on_page = action.position is not None and request_id is not None
    return {
        "event_id": action.event_id,
        "user_id": action.user_id,
        "item_id": action.item_id,
        "action_type": action.action_type,
        "timestamp": float(action.timestamp_s),
        "duration_s": action.duration_s,
        "surface": action.surface,
        **({"request_id": request_id} if on_page else {}),
    }
