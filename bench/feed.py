"""One feed, end to end over HTTP: capacity, and latency at half of it, split by stage.

    python bench/feed.py [--candidates 100,500] [--scorer service,in_process] [--repeats 3]
        [--json out.json]

A synthetic workspace (10,000 items, 500 users with 100 actions each, the published ranker with
random weights: its cost is that of a trained one), a real server on loopback, load from this
process. For each case: closed-loop load with growing clients until the rate stops growing (the
capacity), then an open loop of Poisson arrivals at half of it, with latency counted from when a
request was due: a round. Told are the median and the lowest and highest of the rounds, and the CPU
time of a feed, of all the server's processes and of the load's own. Only full answers are capacity:
refused (429) and degraded ones are told apart; latency is of everything that was answered. In the
same run: the limit, which is the ranker alone called in one process, and the smallest answer of the
same server. Nothing installs that answers a whole feed, so there is no peer. The machine's load is
printed beside each case: above the number of cores, wall times say little.

Aim at 100 candidates: p50 40 ms, p99 120 ms. Bounded: 2,000 requests and 60 s a load.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent))

from load import Outcome, closed_loop, open_loop

from homefeed.clock import DAY_S

AS_OF_S = 1_700_000_000
ITEMS, USERS, DIM, ACTIONS = 10_000, 500, 64, 100
MOST_REQUESTS, MOST_SECONDS = 2_000, 60.0
CLIENTS = (1, 2, 4, 8)
STAGES = ("assign", "features", "retrieve", "score", "respond", "log", "total")


def main() -> None:
    options = parsed()
    from serving.synthetic import SyntheticWorkspace, write_workspace

    with tempfile.TemporaryDirectory(prefix="feed-") as folder:
        sizes = SyntheticWorkspace(
            root=Path(folder),
            num_items=ITEMS,
            num_users=USERS,
            dim=DIM,
            actions_per_user=ACTIONS,
            as_of_s=AS_OF_S,
        )
        write_workspace(sizes)
        limits, cases = {}, []
        for count in options.candidates:
            limits[count] = ranker_alone(sizes.root, count, options.seconds)
            tell_limit(count, limits[count])
        for scorer in options.scorer:
            for count in options.candidates:
                cases.append(case(sizes.root, scorer, count, options))
                tell_case(cases[-1])
    if options.json:
        options.json.write_text(json.dumps({"ranker_alone": limits, "cases": cases}, indent=2))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--candidates", default="100,500", type=numbers)
    parser.add_argument("--scorer", default="service,in_process", type=lambda t: t.split(","))
    parser.add_argument("--seconds", default=6.0, type=float, help="of each closed-loop load")
    parser.add_argument("--open-seconds", default=30.0, type=float, help="of the open loop")
    parser.add_argument("--repeats", default=3, type=int, help="rounds of both loads")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--scorer-workers", default=1, type=int)
    parser.add_argument("--scorer-threads", default=1, type=int, help="of each worker")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.seconds = min(options.seconds, MOST_SECONDS)
    options.open_seconds = min(options.open_seconds, MOST_SECONDS)
    return options


def numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def ranker_alone(root: Path, candidates: int, seconds: float) -> dict:
    """The scorer in this process, one thread: what no serving can be faster than."""
    import torch

    from homefeed.models.scorer import UserFeatures
    from serving.loading import load_scorer
    from serving.settings import Settings
    from serving.tuning import keep_freed_memory

    torch.set_num_threads(1)
    keep_freed_memory()
    scorer = load_scorer(Settings(workspace=root), 1)
    draw = np.random.default_rng(0)
    user = UserFeatures(
        request_time_s=AS_OF_S,
        items=draw.integers(1, ITEMS, ACTIONS),
        actions=np.ones(ACTIONS, np.int64),
        vector=draw.normal(size=DIM).astype(np.float32),
        vector_age_s=3600.0,
    )
    items = draw.choice(np.arange(1, ITEMS + 1), candidates, replace=False)
    walls, cpu, start = [], time.process_time(), time.perf_counter()
    while time.perf_counter() - start < seconds / 2:
        begun = time.perf_counter()
        scorer.score(user, items)
        walls.append((time.perf_counter() - begun) * 1000)
    cpu_ms = (time.process_time() - cpu) * 1000 / len(walls)
    return {"cpu_ms": cpu_ms, "p50_ms": percentile(walls, 50), "p99_ms": percentile(walls, 99)}


def case(root: Path, scorer: str, candidates: int, options: argparse.Namespace) -> dict:
    """Capacity and latency of one server."""
    from serving.run import start_server
    from serving.settings import Settings

    settings = Settings(
        candidates=candidates,
        scorer_precision=options.precision,
        scorer_threads=options.scorer_threads,
        max_in_flight=64,
    )
    with start_server(
        root,
        simulated_clock=True,
        scorer=scorer,
        scorer_workers=options.scorer_workers,
        settings=replace(settings, k=20),
        wait_s=180,
    ) as server:
        place = urlsplit(server.url)
        address = (place.hostname, place.port)
        asyncio.run(closed_loop(*address, feed, 2, 2.0))  # the server's own first calls
        empty = asyncio.run(closed_loop(*address, refused_action, 1, 1.0))
        rounds = [one_round(address, server.process.pid, options) for _ in range(options.repeats)]
    return {
        "scorer": scorer,
        "candidates": candidates,
        "load_average": os.getloadavg()[0],
        "empty_answer_p50_ms": percentile(empty.latency_ms, 50) if empty.latency_ms else None,
        "rounds": rounds,
    }


def one_round(address: tuple[str, int], server: int, options: argparse.Namespace) -> dict:
    """Closed loops of growing clients, then an open loop at half of what the best of them gave."""
    loads, cpu_ms = {}, {}
    for clients in CLIENTS:
        spent, own = cpu_s(server), time.process_time()
        loads[clients] = asyncio.run(closed_loop(*address, feed, clients, options.seconds))
        answers = max(1, sum(loads[clients].statuses.values()))
        cpu_ms[clients] = (
            (cpu_s(server) - spent) * 1000 / answers,
            (time.process_time() - own) * 1000 / answers,
        )
    best = max(CLIENTS, key=lambda clients: loads[clients].rate)
    capacity = loads[best].rate
    half = asyncio.run(open_loop(*address, feed, poisson(capacity / 2, options.open_seconds)))
    return {
        "closed_loop": {clients: summary(load) for clients, load in loads.items()},
        "capacity_per_s": capacity,
        "server_cpu_ms": cpu_ms[best][0],
        "client_cpu_ms": cpu_ms[best][1],
        "at_half": summary(half),
        "stages_ms": {name: half.stages_ms[name] for name in STAGES if name in half.stages_ms},
    }


def cpu_s(server: int) -> float:
    """CPU seconds so far of all the server's processes."""
    first = psutil.Process(server)
    times = [each.cpu_times() for each in (first, *first.children(recursive=True))]
    return sum(each.user + each.system for each in times)


_COUNTER = iter(range(10**9))


def feed(number: int) -> tuple[str, dict]:
    """A feed for one of the users, each request a minute after the last of its kind."""
    turn = next(_COUNTER)
    at = AS_OF_S + 60 + turn * 60 % (2 * DAY_S)
    return "/v1/feed", {"user_id": 1 + turn * 7 % USERS, "k": 20, "at": at}


def refused_action(number: int) -> tuple[str, dict]:
    """The smallest posted answer: one refused action, nothing written."""
    return "/v1/actions", {"actions": [{}], "at": AS_OF_S}


def poisson(rate: float, seconds: float) -> list[float]:
    """Due times of a Poisson stream, at most MOST_REQUESTS."""
    draw, due, now = random.Random(0), [], 0.0
    while len(due) < MOST_REQUESTS:
        now += draw.expovariate(rate)
        if now > seconds:
            break
        due.append(now)
    return due


def summary(load: Outcome) -> dict:
    return {
        "requests": sum(load.statuses.values()),
        "statuses": load.statuses,
        "per_s": load.rate,
        "p50_ms": percentile(load.latency_ms, 50),
        "p99_ms": percentile(load.latency_ms, 99),
    }


def percentile(values: list[float], share: float) -> float:
    return float(np.percentile(values, share)) if values else float("nan")


def tell_limit(count: int, limit: dict) -> None:
    print(
        f"ranker alone, {count} candidates x {ACTIONS} actions, one thread: "
        f"{limit['cpu_ms']:.1f} CPU-ms, p50 {limit['p50_ms']:.1f} ms, p99 {limit['p99_ms']:.1f}",
        flush=True,
    )


def tell_case(told: dict) -> None:
    rounds = told["rounds"]
    half = [each["at_half"] for each in rounds]
    print(
        f"\n{told['candidates']} candidates, scorer: {told['scorer']}, {len(rounds)} rounds, "
        f"load average {told['load_average']:.1f} on {os.cpu_count()} cores\n"
        f"  capacity {middle(rounds, 'capacity_per_s')} feeds/s; CPU-ms a feed: server "
        f"{middle(rounds, 'server_cpu_ms')}, the load's client {middle(rounds, 'client_cpu_ms')}\n"
        f"  at half of it ({sum(each['requests'] for each in half)} requests): "
        f"p50 {middle(half, 'p50_ms')} ms, p99 {middle(half, 'p99_ms')} ms; "
        f"statuses {[each['statuses'] for each in half]}; "
        f"smallest answer {told['empty_answer_p50_ms']:.2f} ms"
    )
    print("  stages, p50/p99 ms: " + ", ".join(stages(rounds)), flush=True)


def middle(rows: list[dict], name: str) -> str:
    """The median of the rounds, with the lowest and the highest."""
    values = [row[name] for row in rows]
    return f"{statistics.median(values):.1f} [{min(values):.1f} to {max(values):.1f}]"


def stages(rounds: list[dict]) -> list[str]:
    """Each stage over the requests of all rounds."""
    spent = {
        name: [ms for each in rounds for ms in each["stages_ms"].get(name, [])] for name in STAGES
    }
    return [
        f"{name} {percentile(ms, 50):.2f}/{percentile(ms, 99):.2f}"
        for name, ms in spent.items()
        if ms
    ]


if __name__ == "__main__":
    main()
