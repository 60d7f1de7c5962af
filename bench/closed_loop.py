"""Do the arms lift what users do? Simulated users live with each arm, and the analysis is checked.

    python bench/closed_loop.py --workspace .homefeed --minutes 20 --json loop.json

Takes a workspace that `homefeed run` on `world` finished, copies what serves, and lets all users
live with each arm (control, pinnerformer, realtime): the service's own request path, a daily
refresh as the daily pipeline does it, the world's own responses. Then three questions:

1. the A/B test: users split by their assignment, the analysis that `homefeed ab analyze` runs;
2. the truth: every user under every arm, paired, in expected actions and in what was done;
3. the A/A check: 500 re-drawn assignments over one arm's log; the share of significant results
   must lie in the 99 % binomial interval around 5 % (13 to 37 of 500).

The test's length comes from the power calculation on the log (--effect); --minutes stops every
life after the day in work, and two arms are compared over the days that both have lived.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent))

from loop.judging import judged
from loop.lives import SUMMARY, Life, live
from loop.logs import POSITIVES
from loop.pilot import planned_length
from loop.report import report
from loop.workspace import finished

ARMS = "control,pinnerformer,realtime"


def main() -> int:
    options = parsed()
    source = finished(options.workspace)
    length = planned_length(source, POSITIVES, options.effect, arms=2)
    days = min(options.days or length.days, source.world.live_days)
    with tempfile.TemporaryDirectory(prefix="closed-loop-") as temporary:
        folder = (options.lives or Path(temporary)).resolve()
        if not options.judge_only:
            lead(source, folder, days, options)
        summaries = [json.loads((folder / arm / SUMMARY).read_text()) for arm in options.arms]
        lived = {each["arm"]: each["days"] for each in summaries}
        print(f"judging; {options.draws} re-drawn assignments", flush=True)
        found = judged(source, folder, lived, options.draws, options.salt)
    found |= {"planned": asdict(length), "lives": summaries, "options": told(options)}
    report(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2, default=str) + "\n")
    return 0


def lead(source, folder: Path, days: int, options: argparse.Namespace) -> None:
    """Lead one life per arm, ``--jobs`` at a time."""
    until_s = time.time() + 60 * options.minutes
    lives = [
        Life(
            source=source,
            arm=arm,
            out=folder / arm,
            days=days,
            candidates=options.candidates,
            utility=options.utility,
            refresh_days=options.refresh_days,
            http=options.http,
            until_s=until_s,
        )
        for arm in options.arms
    ]
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        for done in pool.map(live, lives):
            print(f"{done['arm']}: lived {done['days']} of {days} days", flush=True)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--workspace", type=Path, default=Path(".homefeed"), help="finished; it is only read")
    add("--arms", type=lambda text: text.split(","), default=ARMS.split(","))
    add("--effect", type=float, default=0.05, help="relative lift that the test must see")
    add("--days", type=int, help="simulated days (default: by the power calculation)")
    add("--minutes", type=float, default=30.0, help="no further day is begun after so long")
    add("--candidates", type=int, default=100, help="ranked per request, at most 100")
    add("--utility", default="", help="head=weight,...: what orders a page (default: as served)")
    add("--refresh-days", type=int, default=1, help="days between refreshes, at most 3 (TTL)")
    add("--draws", type=int, default=500, help="re-drawn assignments of the A/A check")
    add("--salt", default="closed-loop", help="another salt is another draw of the A/B test")
    add("--jobs", type=int, default=3, help="lives led at once")
    add("--http", action="store_true", help="ask a real server over HTTP, one per life")
    add("--lives", type=Path, help="keep the lives in this folder")
    add("--judge-only", action="store_true", help="judge the lives that --lives holds")
    add("--json", type=Path, help="write all figures here")
    options = parser.parse_args()
    if not 1 <= options.candidates <= 100:
        parser.error(f"--candidates is {options.candidates}; give 1 to 100")
    if not 1 <= options.refresh_days <= 3:
        parser.error(f"--refresh-days is {options.refresh_days}; vectors live 3 days: give 1 to 3")
    if options.judge_only and not options.lives:
        parser.error("--judge-only needs --lives FOLDER")
    return options


def told(options: argparse.Namespace) -> dict:
    return {name: value for name, value in vars(options).items() if name != "json"}


if __name__ == "__main__":
    sys.exit(main())
