"""The check step on a large log: wall, CPU-seconds and peak memory, split by stage.

    python bench/check.py [--rows 10000000] [--memory-mb 1024] [--repeats 3] [--json out.json]

A synthetic log of ``rows`` actions (200,000 users, 100,000 items, one row in a thousand a copy,
one in two thousand broken) in Parquet, in a temporary folder that is removed in the end. Every
repeat is a process of its own, so that its peak is its own. In the same run:

ours     homefeed.data.checks.check: canonical copy, rules in SQL, Great Expectations, Data Docs,
         good and rejected rows written
limit    what the machine needs to read the same file once and to write it once (Polars, streamed)

Aim: 10 M rows in under a minute, memory bounded.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from homefeed.clock import DAY_S
from homefeed.data.contract import Dataset, write_dataset
from homefeed.data.specification import DatasetSpec

CHUNK = 1_000_000
START_S, DAYS = 1_700_000_000, 60
USERS, ITEMS = 200_000, 100_000


def main() -> None:
    options = parsed()
    if options.one:
        print(json.dumps(ours(Path(options.one), options) if options.ours else limit(options.one)))
        return
    with tempfile.TemporaryDirectory(prefix="check-") as folder:
        root = synthetic_log(Path(folder) / "log", options.rows)
        runs = {
            "ours": [in_process(root, options, "--ours") for _ in range(options.repeats)],
            "limit": [in_process(root, options) for _ in range(options.repeats)],
        }
        size_mb = (root / "actions.parquet").stat().st_size / 2**20
    report(runs, options, size_mb)


def synthetic_log(root: Path, rows: int) -> Path:
    """Write ``rows`` actions, a chunk at a time, as a data set at ``root``."""
    random = np.random.default_rng(7)
    parts = root.with_name("parts")
    parts.mkdir()
    for start in range(0, rows, CHUNK):
        count = min(CHUNK, rows - start)
        user = random.zipf(1.3, count) % USERS + 1
        user = np.where(random.random(count) < 0.9, random.integers(1, USERS, count), user)
        time_ms = (START_S * 1000) + np.sort(random.integers(0, DAYS * DAY_S * 1000, count))
        chunk = pl.DataFrame(
            {
                "user_id": user,
                "item_id": random.integers(1, ITEMS, count),
                "action_type": pl.Series(["view", "click", "like"])[random.integers(0, 3, count)],
                "timestamp": time_ms,
                "surface": pl.Series(["home", "search"])[random.integers(0, 2, count)],
                "duration_s": random.exponential(20, count).astype(np.float32),
            }
        )
        broken = pl.int_range(pl.len()) % 2_000 == 0
        unknown = pl.when(broken).then(pl.lit("?")).otherwise(pl.col("action_type"))
        chunk = chunk.with_columns(unknown.alias("action_type"))
        once = chunk.head(count - count // 1_000)  # and then copies of some of its rows
        chunk = pl.concat([once, once[1 : 1 + 1_000 * (count // 1_000) : 1_000]]).head(count)
        chunk.write_parquet(parts / f"{start:012d}.parquet")
    spec = DatasetSpec(
        name="log",
        files={"actions": "actions.parquet"},
        span=(START_S, START_S + DAYS * DAY_S),
        positive=("click", "like"),
        neutral=("view",),
    )
    write_dataset(root, spec, {"actions": pl.scan_parquet(sorted(parts.iterdir()))})
    for part in parts.iterdir():
        part.unlink()
    return root


def in_process(root: Path, options: argparse.Namespace, *flags: str) -> dict:
    """One measurement in a fresh process."""
    command = [sys.executable, __file__, "--one", str(root), "--memory-mb", str(options.memory_mb)]
    done = subprocess.run([*command, *flags], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def ours(root: Path, options: argparse.Namespace) -> dict:
    from homefeed.config import ChecksConfig
    from homefeed.data.checks import check
    from homefeed.data.checks.expectations import load_great_expectations

    start, cpu = time.perf_counter(), time.process_time()
    load_great_expectations()  # its import, a fixed cost, is shown apart
    imported_s = time.perf_counter() - start
    report = check(
        Dataset.open(root),
        root.with_name("checked"),
        ChecksConfig(),
        time.time(),
        memory_mb=options.memory_mb,
    )
    actions = report.tables["actions"]
    rows = {"read": actions.read, "kept": actions.kept, "import_s": imported_s}
    return {**spent(start, cpu), **rows}


def limit(root: str) -> dict:
    start, cpu = time.perf_counter(), time.process_time()
    rows = pl.scan_parquet(Path(root) / "actions.parquet")
    rows.sink_parquet(Path(root).with_name("copy.parquet"))
    return spent(start, cpu)


def spent(start: float, cpu: float) -> dict:
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "wall_s": time.perf_counter() - start,
        "cpu_s": time.process_time() - cpu,
        "peak_mb": peak_kb / 1024,
    }


def report(runs: dict[str, list[dict]], options: argparse.Namespace, size_mb: float) -> None:
    print(f"check of {options.rows:,} actions ({size_mb:.0f} MiB of Parquet)")
    columns = f"{'wall s':>8}{'spread':>14}{'CPU s':>8}{'spread':>14}"
    print(f"{'':8}{columns}{'peak MiB':>10}{'M rows/s':>10}")
    for name, measured in runs.items():
        wall, cpu = ([run[kind] for run in measured] for kind in ("wall_s", "cpu_s"))
        peak = max(run["peak_mb"] for run in measured)
        rate = options.rows / statistics.median(wall) / 1e6
        print(f"{name:8}{in_seconds(wall)}{in_seconds(cpu)}{peak:>10.0f}{rate:>10.2f}")
    first = runs["ours"][0]
    print(f"import of Great Expectations {first['import_s']:.1f} s, in ours; ", end="")
    print(f"set aside {first['read'] - first['kept']:,} rows")
    if options.json:
        Path(options.json).write_text(json.dumps({"rows": options.rows, **runs}, indent=2))


def in_seconds(measured: list[float]) -> str:
    """Median and spread, as two columns."""
    spread = f"{min(measured):.1f}–{max(measured):.1f}"
    return f"{statistics.median(measured):>8.1f}{spread:>14}"


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--memory-mb", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--ours", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
