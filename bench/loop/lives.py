"""One life: all users live with one arm for many days, and each page is written down.

Who comes when no arm can change, and a response hangs on user, item and time: so one life per arm
shows each user under each arm. `expected` is the truth about a page, asked before the user answers;
the analysis under test never sees it.
"""

import contextlib
import io
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from homefeed.artifacts import write_json
from homefeed.clock import DAY_S
from homefeed.data.contract import Dataset
from homefeed.data.world.live import SimulatedUsers, Visit
from homefeed.steps.visits import post
from loop.platform import InProcess, OverHttp, Platform, settings_of
from loop.refresh import catch_up, refresh
from loop.workspace import Finished, serving_one_arm

LABELS = ("save", "click", "closeup", "hide", "positive")
SAMPLE_EVERY = 10  # pages whose candidates are looked at, for where a lift is lost
SAMPLED = ("sampled", "best_order", "random_order")
PAGES, SUMMARY = "pages", "life.json"


@dataclass(frozen=True, kw_only=True)
class Life:
    """How one arm's life is led."""

    source: Finished
    arm: str
    out: Path
    days: int
    candidates: int = 100
    utility: str = ""
    refresh_days: int = 1
    http: bool = False
    until_s: float = float("inf")  # time.time() at which no further day is begun


def live(life: Life) -> dict[str, Any]:
    """Live the days, or as many as the time allows; writes pages by day and a summary."""
    import torch

    torch.set_num_threads(1)
    version, parent = life.source.releases[life.arm], os.getppid()
    config = serving_one_arm(life.source, version, life.out)
    with contextlib.redirect_stdout(io.StringIO()):
        catch_up(config, life.source.world.end_s)
    users = SimulatedUsers.of(life.source.world, Dataset.open(Path(life.source.day.checked)))
    settings = settings_of(config, life.candidates, life.utility)
    platform: Platform = (OverHttp if life.http else InProcess)(settings)
    first, done, spent = life.source.world.days, 0, Counter()
    try:
        for day in range(first, first + life.days):
            if time.time() > life.until_s:
                break
            start, cpu = time.perf_counter(), time.process_time()
            pages = live_day(platform, users, day, parent)
            _write(life.out / PAGES / f"{day:04}.parquet", pages)
            done += 1
            spent["requests"] += len(pages)
            spent["answering_cpu_s"] += time.process_time() - cpu
            cpu = time.process_time()
            if done % life.refresh_days == 0 and done < life.days:
                ends_s = life.source.world.start_s + (day + 1) * DAY_S
                with contextlib.redirect_stdout(io.StringIO()):
                    refresh(config, ends_s)
                platform.refreshed(ends_s)
            spent["refreshing_cpu_s"] += time.process_time() - cpu
            wall = time.perf_counter() - start
            print(
                f"{life.arm}: day {done}/{life.days}, {len(pages):,} pages, {wall:.0f} s",
                flush=True,
            )
            write_json(
                life.out / SUMMARY, {"arm": life.arm, "version": version, "days": done, **spent}
            )
    finally:
        platform.close()
    return {"arm": life.arm, "version": version, "days": done, **spent}


def live_day(
    platform: Platform, users: SimulatedUsers, day: int, parent: int
) -> list[dict[str, Any]]:
    """One simulated day: each page with what is truly expected of it, and how it was answered.

    Ends the process where its ``parent`` has gone: nobody waits for an orphan.
    """
    pages = []
    for visit in users.visits(day):
        if os.getppid() != parent:
            sys.exit("the program that started this life has ended")
        post(platform, visit.earlier, None)
        answer = platform.feed(
            visit.user_id, k=visit.length, surface=visit.surface, at=float(visit.time_s)
        )
        items = [item["item_id"] for item in answer["items"]]
        expected = users.expected(visit, items)
        sources = Counter(item["source"] for item in answer["items"])
        pages.append(
            {
                "user_id": visit.user_id,
                "day": day,
                "time_s": visit.time_s,
                "request_id": answer["request_id"],
                "page": visit.page,
                "asked": visit.length,
                "shown": len(items),
                "degraded": answer["degraded"],
                "reason": "; ".join(answer["reasons"]),
                "popular": sources["popular"],
                **{f"expected_{name}": float(expected[name].sum()) for name in LABELS},
                **headroom(platform, users, visit, answer["request_id"], len(items)),
            }
        )
        post(platform, users.respond(visit, items), answer["request_id"])
    return pages


def headroom(
    platform: Platform, users: SimulatedUsers, visit: Visit, request_id: str, shown: int
) -> dict[str, float | None]:
    """For a tenth of the pages: what the best and a random order of the same candidates would get.

    The best page of the candidates is the limit of ranking; its own change between arms is
    retrieval's. Expected saves and clicks, as the page's own.
    """
    if (visit.user_id + visit.time_s) % SAMPLE_EVERY or not shown:
        return dict.fromkeys(SAMPLED)
    told = platform.explain(request_id)
    if told is None:
        return dict.fromkeys(SAMPLED)
    candidates = [candidate["item_id"] for candidate in told["candidates"]]
    expected = users.expected(visit, candidates)
    at_place = expected["save"] + expected["click"]
    examined = 1 / (1 + users.world.config.laws.examination * np.arange(len(candidates)))
    alone = at_place / examined  # [N] as if each stood first
    return {
        "sampled": float(at_place[:shown].sum()),
        "best_order": float((np.sort(alone)[::-1][:shown] * examined[:shown]).sum()),
        "random_order": float(alone.mean() * examined[:shown].sum()),
    }


def _write(path: Path, pages: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # A day without a degraded or sampled page still has those columns' types.
    types = {"degraded": pl.String, **dict.fromkeys(SAMPLED, pl.Float64)}
    pl.DataFrame(pages, schema_overrides=types, infer_schema_length=None).write_parquet(path)
