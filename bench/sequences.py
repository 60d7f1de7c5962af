"""Building and reading the sequence store: bytes, CPU-seconds and peak memory per action.

    python bench/sequences.py [--sizes 1000000,5000000,20000000] [--repeats 3] [--json out.json]

Every measurement is a process of its own, so that its peak memory (ru_maxrss) is its own. In one
run: ours; the limit, made of what no design can leave out, measured on the same file (decoding
the Parquet columns, two gathers from id tables, one stable sort of 64-bit keys, and the bytes
moved at the machine's copy speed); and a peer, plain Polars in memory (read, sort by user and
time, write).

Aims: at most 16 bytes an action, at least 1 M actions per CPU-second, flat memory from 1 to 20 M.
"""

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from homefeed.clock import DAY_MS

USERS, ITEMS = 200_000, 200_000  # the same for every size: what grows is the log
START_MS = 1_650_000_000_000


def make_log(folder: Path, actions: int) -> None:
    """A log of power-law users and items in order of time, written in pieces of one million."""
    import numpy as np
    import polars as pl
    import pyarrow.parquet as pq

    random = np.random.default_rng(actions)
    user_ids = random.permutation(10 * USERS)[:USERS]
    item_ids = random.permutation(10 * ITEMS)[:ITEMS]
    folder.mkdir(parents=True)
    writer = None
    for first in range(0, actions, 1_000_000):
        count = min(1_000_000, actions - first)
        users = (USERS * random.random(count) ** 1.5).astype(np.int64)
        items = (ITEMS * random.random(count) ** 2.5).astype(np.int64)
        steps = random.integers(0, 2 * 28 * DAY_MS // actions, count)
        times = START_MS + first * (28 * DAY_MS // actions) + np.cumsum(steps)
        types = pl.Series(["click", "like", "watch", "hide"])[
            random.choice(4, count, p=[0.5, 0.1, 0.35, 0.05])
        ]
        surfaces = pl.Series(["home", "related", "search"])[random.integers(0, 3, count)]
        rows = pl.DataFrame(
            {
                "user_id": user_ids[users],
                "item_id": item_ids[items],
                "action_type": types,
                "timestamp": times,
                "surface": surfaces,
                "duration_s": random.exponential(20, count).astype(np.float32),
            }
        ).to_arrow()
        writer = writer or pq.ParquetWriter(folder / "actions.parquet", rows.schema)
        writer.write_table(rows, row_group_size=200_000)
    writer.close()
    (folder / "dataset.yaml").write_text(
        "name: bench\nfiles: {actions: actions.parquet}\ntimestamp_unit: ms\n"
        "positive: [click, like]\nneutral: [watch]\nnegative: [hide]\n"
        "min_duration_s: {click: 5}\n"
    )


def ours(data: Path, out: Path, memory_mb: int) -> dict:
    """Build the store; the look-ups that training makes are timed beside it."""
    from homefeed.data.contract import Dataset
    from homefeed.data.sequences import build_sequences

    imported = spent()
    store = build_sequences(Dataset.open(data), out, memory_mb=memory_mb)
    built = spent()
    columns = sum(f.stat().st_size for f in out.iterdir() if f.suffix not in (".json", ".npz"))
    files = sum(f.stat().st_size for f in out.rglob("*") if f.is_file())
    actions = store.meta.action_count
    return {
        **difference(imported, built),
        "bytes_per_action": columns / actions,
        "bytes_with_users_and_ids": files / actions,
        "actions": actions,
    }


def limit(data: Path, out: Path, memory_mb: int) -> dict:
    """CPU-seconds of the parts that any design pays, on the same file; not a whole build."""
    import numpy as np
    import polars as pl

    columns = ["user_id", "item_id", "action_type", "timestamp", "surface", "duration_s"]
    before = spent()
    decode = 0.0
    actions = 0
    look_up = sort = 0.0
    known = {c: None for c in ("user_id", "item_id")}
    for c in known:
        ids = pl.scan_parquet(data / "actions.parquet").select(pl.col(c).unique()).collect()[c]
        known[c] = np.zeros(ids.max() + 1, dtype=np.int32)
        known[c][ids.to_numpy()] = np.arange(1, len(ids) + 1)
    start = spent()
    scan = pl.scan_parquet(data / "actions.parquet").select(columns)
    for batch in scan.collect_batches(chunk_size=320_000, maintain_order=True):
        actions += batch.height
    decode = difference(start, spent())["cpu_s"]
    for batch in scan.collect_batches(chunk_size=320_000, maintain_order=True):
        start = spent()
        for c, table in known.items():
            table.take(batch[c].to_numpy())
        look_up += difference(start, spent())["cpu_s"]
        key = batch["user_id"].to_numpy() << 42 | batch["timestamp"].to_numpy()
        start = spent()
        for part in np.array_split(key, max(1, len(key) * 64 // actions)):  # pieces of one size
            np.argsort(part, kind="stable")
        sort += difference(start, spent())["cpu_s"]
    block, place = np.ones((2, 1 << 27), dtype=np.uint8)
    start = spent()
    np.copyto(place, block)
    copy = difference(start, spent())["cpu_s"] / len(block)
    moved = actions * (29 + 2 * 33 + 15) * copy  # decoded row, record out and in, stored row
    return {
        **difference(before, spent()),
        "cpu_s": decode + look_up + sort + moved,
        "parts": {"decode": decode, "look up": look_up, "sort": sort, "copy": moved},
        "actions": actions,
    }


def peer(data: Path, out: Path, memory_mb: int) -> dict:
    """Plain Polars: everything in memory, sorted by user and time, written as Parquet."""
    import polars as pl

    imported = spent()
    rows = pl.read_parquet(data / "actions.parquet")
    rows = rows.with_columns(
        pl.col("action_type").cast(pl.Categorical), pl.col("surface").cast(pl.Categorical)
    ).sort("user_id", "timestamp", maintain_order=True)
    offsets = rows.select(pl.col("user_id").rle()).unnest("user_id")
    rows.write_parquet(out)
    return {
        **difference(imported, spent()),
        "bytes_per_action": (out.stat().st_size + offsets.estimated_size()) / rows.height,
        "actions": rows.height,
    }


def lookups(data: Path, out: Path, memory_mb: int) -> dict:
    """200,000 requests × the last 100 available actions, on a store that was built before."""
    import numpy as np

    from homefeed.data.sequences import SequenceStore

    store = SequenceStore.open(out)
    random = np.random.default_rng(0)
    users = random.integers(1, store.meta.user_count + 1, 200_000)
    times = random.integers(store.meta.first_s, store.meta.last_s, 200_000)
    store.last_available(users[:1000], times[:1000], 100)
    start = spent()
    found = store.last_available(users, times, 100)
    return {**difference(start, spent()), "requests": len(users), "found": int((found >= 0).sum())}


PROGRAMS = {f.__name__: f for f in (ours, limit, peer, lookups)}


def spent() -> tuple[float, float]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime, time.monotonic()


def difference(start: tuple[float, float], end: tuple[float, float]) -> dict[str, float]:
    return {"cpu_s": end[0] - start[0], "wall_s": end[1] - start[1]}


def child(name: str, data: Path, out: Path, memory_mb: int) -> None:
    result = PROGRAMS[name](data, out, memory_mb)
    result["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(result))


def run(name: str, data: Path, out: Path, memory_mb: int) -> dict:
    command = [sys.executable, __file__, "--child", name, str(data), str(out), str(memory_mb)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(sizes: list[int], repeats: int, memory_mb: int) -> list[dict]:
    rows = []
    with tempfile.TemporaryDirectory(prefix="homefeed-bench-") as folder:
        for size in sizes:
            data = Path(folder) / f"log-{size}"
            subprocess.run(
                [sys.executable, __file__, "--child", "make_log", str(data), str(size), "0"],
                check=True,
            )
            for name in PROGRAMS:
                out = Path(folder) / ("store" if name in ("ours", "lookups") else "scratch")
                runs = [run(name, data, out, memory_mb) for _ in range(repeats)]
                rows.append({"size": size, "program": name, "runs": runs})
                show(rows[-1])
            shutil.rmtree(data)
    return rows


def show(row: dict) -> None:
    runs = row["runs"]
    cpu = sorted(r["cpu_s"] for r in runs)
    wall = sorted(r["wall_s"] for r in runs)
    peak = max(r["peak_mb"] for r in runs)
    text = f"{row['size']:>11,}  {row['program']:<8} cpu {statistics.median(cpu):7.2f} s"
    text += f" [{cpu[0]:.2f}–{cpu[-1]:.2f}]  wall {statistics.median(wall):6.2f} s"
    text += f" [{wall[0]:.2f}–{wall[-1]:.2f}]  peak {peak:6.0f} MB"
    if "actions" in runs[0]:
        text += (
            f"  {runs[0]['actions'] / statistics.median(cpu) / 1e6:5.2f} M actions per CPU-second"
        )
    if "bytes_per_action" in runs[0]:
        text += f"  {runs[0]['bytes_per_action']:.2f} bytes an action"
    if "bytes_with_users_and_ids" in runs[0]:
        text += f" ({runs[0]['bytes_with_users_and_ids']:.2f} with users and ids)"
    if "parts" in runs[0]:
        text += "  " + ", ".join(f"{k} {v:.2f}" for k, v in runs[0]["parts"].items())
    if "requests" in runs[0]:
        rate = runs[0]["requests"] / statistics.median(cpu) / 1e3
        text += f"  {rate:.0f} k requests × 100 per CPU-second"
    print(text, flush=True)


def main() -> None:
    if "--child" in sys.argv:
        name, data, out, number = sys.argv[2:]
        if name == "make_log":
            make_log(Path(data), int(out))
        else:
            child(name, Path(data), Path(out), int(number))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="1000000,5000000,20000000")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory-mb", type=int, default=512)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    sizes = [int(size) for size in arguments.sizes.split(",")]
    rows = measure(sizes, arguments.repeats, arguments.memory_mb)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
