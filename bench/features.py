"""The feature store: users published per second, and the time of one online read.

    python bench/features.py [--users 10000] [--dim 64] [--reads 2000] [--repeats 3] [--json FILE]

SQLite as online store, DuckDB offline. In one run, in turn, wall and CPU seconds:

vectors, sequences   ours: checked, encoded, written, kept offline, a sample read back
                     peer: Feast's own writer (protobuf objects, one statement per value)
                     limit: the same bytes, encoded beforehand, written by sqlite3 and nothing else
online read          ours: a user's vector and sequence by feature service, as arrays
                     peer: get_online_features(...).to_dict() of the Feast SDK
                     limit: the two SELECTs, nothing parsed
point-in-time join   ours: Feast on DuckDB, rows and labels compared
                     limit: polars join_asof over the same Parquet files, strictly before
"""

import argparse
import gc
import json
import sqlite3
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from itertools import repeat
from pathlib import Path

import numpy as np
import polars as pl

from feature_repo.client import FeatureStore
from feature_repo.connection import entity_key
from feature_repo.definitions import EncoderView, ReleaseService, sequence_view_name, view_name
from feature_repo.rows import Rows, sequence_rows, vector_rows
from feature_repo.settings import ONLINE_FILE
from feature_repo.writers import entity_key_bytes
from homefeed.clock import DAY_S, SimulatedClock

NOW_S = 1_700_000_000
ENCODER, SERVICE, LENGTH = "ab" * 8, "release_bench", 100
BATCH = 5_000
SHOWN = 60  # items that a user was shown lately
EARLIER = 100  # items that a user acted on before the sequence


def main() -> None:
    options = parsed()
    with tempfile.TemporaryDirectory(prefix="features-") as name:
        bench = Bench(Path(name), options)  # imports Feast, which shows all libraries' warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        result = {
            "vectors, users/s": bench.publish_vectors(),
            "sequences, users/s": bench.publish_sequences(),
            "online read, ms": bench.read(),
            "point-in-time join, rows/s": bench.join(),
        }
    show(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--users", default=10_000, type=int)
    parser.add_argument("--dim", default=64, type=int)
    parser.add_argument("--reads", default=2_000, type=int)
    parser.add_argument("--repeats", default=3, type=int)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


class Bench:
    """One store with one release; every publish is of a later second than the one before."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.options, self.folder = options, folder
        self.clock = SimulatedClock(NOW_S)
        self.store = FeatureStore(folder / "feast", clock=self.clock)
        service = ReleaseService(name=SERVICE, encoder_hash=ENCODER)
        self.store.apply([EncoderView(hash=ENCODER, dim=options.dim)], [service])
        self.users = [f"i:{user}" for user in range(options.users)]
        rng = np.random.default_rng(0)
        self.vectors = rng.normal(size=(options.users, options.dim)).astype(np.float32)
        self.sequences = synthetic_sequences(self.users, rng)
        self.second = NOW_S - DAY_S

    def publish_vectors(self) -> dict:
        path = self.folder / "users.parquet"
        kind = pl.Array(pl.Float32, self.options.dim)
        vectors = pl.Series(self.vectors, dtype=kind)
        pl.DataFrame({"user_id": self.users, "vector": vectors}).write_parquet(path)
        rows = vector_rows(path, self.second, self.options.dim)
        return self._published(
            view_name(ENCODER),
            rows,
            lambda as_of_s: self.store.publish_user_vectors(ENCODER, path, as_of_s),
        )

    def publish_sequences(self) -> dict:
        rows = sequence_rows(self.sequences, self.second, 1, LENGTH)
        return self._published(
            sequence_view_name(""),
            rows,
            lambda as_of_s: self.store.publish_sequences(self.sequences, as_of_s, 1),
        )

    def _published(self, view: str, rows: Rows, ours: Callable[[int], object]) -> dict:
        batches = list(rows.batches(BATCH))
        ways = {
            "ours": lambda: ours(self._next()),
            "peer": lambda: self._by_feast(view, batches),
            "limit": lambda: self._by_sqlite(view, batches),
        }
        return {
            name: rates(self.options.users, timed)
            for name, timed in in_turn(ways, self.options.repeats).items()
        }

    def _by_feast(self, view: str, batches: list) -> None:
        from feast.protos.feast.types.Value_pb2 import Value

        store, moment = self.store.connection.store(), datetime.fromtimestamp(self._next(), UTC)
        declared = self.store.connection.view(view)
        for batch in batches:
            data = []
            for row, user in enumerate(batch.users):
                values = {n: Value.FromString(v[row]) for n, v in batch.columns.items()}
                data.append((entity_key(user), values, moment, moment))
            store._get_provider().online_write_batch(store.config, declared, data, None)

    def _by_sqlite(self, view: str, batches: list) -> None:
        statement = (
            f'INSERT OR REPLACE INTO "homefeed_{view}" '
            "(entity_key, feature_name, value, event_ts, created_ts) VALUES (?, ?, ?, ?, ?)"
        )
        second = self._next()
        with closing(sqlite3.connect(self.store.connection.root / ONLINE_FILE)) as database:
            database.execute("PRAGMA synchronous=NORMAL")
            for batch in batches:
                keys = [entity_key_bytes(user) for user in batch.users]
                with database:
                    for name, values in batch.columns.items():
                        times = (repeat(second), repeat(second))
                        database.executemany(statement, zip(keys, repeat(name), values, *times))

    def _next(self) -> int:
        self.second += 1
        return self.second

    def read(self) -> dict:
        self.store.warm_up(SERVICE)
        feast_store = self.store.connection.store()
        service = feast_store.get_feature_service(SERVICE)
        database = sqlite3.connect(self.store.connection.root / ONLINE_FILE)
        select = 'SELECT feature_name, value FROM "homefeed_{}" WHERE entity_key = ?'
        selects = [select.format(view) for view in (view_name(ENCODER), sequence_view_name(""))]
        ways = {
            "ours": lambda user: self.store.read_online(SERVICE, user),
            "peer": lambda user: feast_store.get_online_features(
                service, [{"user_id": user}]
            ).to_dict(),
            "limit": lambda user: [
                database.execute(each, (entity_key_bytes(user),)).fetchall() for each in selects
            ],
        }
        gc.collect()
        gc.freeze()  # as serving does
        found = {n: latencies(way, self.users, self.options.reads) for n, way in ways.items()}
        gc.unfreeze()
        return found

    def join(self) -> dict:
        """All users ask at random times of the last days, of which each had a snapshot."""
        rng, count = np.random.default_rng(1), self.options.users * 5
        for day in range(3):
            path = self.folder / f"day{day}.parquet"
            vectors = pl.Series(self.vectors + day, dtype=pl.List(pl.Float32))
            pl.DataFrame({"user_id": self.users, "vector": vectors}).write_parquet(path)
            as_of_s = NOW_S - (6 - day) * DAY_S
            self.store.publish_user_vectors(ENCODER, path, as_of_s, created_s=as_of_s, online=False)
        users = [self.users[user] for user in rng.integers(len(self.users), size=count)]
        times_ms = (NOW_S - rng.integers(3 * DAY_S, 6 * DAY_S, size=count)) * 1000
        labels = rng.integers(0, 2, size=(count, 3), dtype=np.uint8)
        requests = pl.DataFrame({"user_id": users, "at": times_ms * 1000 - 1}).with_columns(
            pl.col("at").cast(pl.Datetime("us", "UTC"))
        )
        parts = str(self.store.connection.offline / view_name(ENCODER) / "*.parquet")

        def by_polars() -> None:
            rows = pl.read_parquet(parts).sort("event_timestamp")
            requests.sort("at").join_asof(
                rows,
                left_on="at",
                right_on="event_timestamp",
                by="user_id",
                tolerance="3d",
                check_sortedness=False,  # polars cannot, with groups; both are sorted
            )

        ways = {
            "ours": lambda: self.store.point_in_time(users, times_ms, ENCODER, labels=labels),
            "limit": by_polars,
        }
        return {k: rates(count, v) for k, v in in_turn(ways, self.options.repeats).items()}


def synthetic_sequences(users: list[str], rng: np.random.Generator) -> pl.DataFrame:
    items = np.array([f"i:{item}" for item in range(20_000)], object)
    kinds = np.array(["click", "like", "watch", "share"], object)
    shape = (len(users), LENGTH)
    times = NOW_S - 2 * DAY_S - np.cumsum(rng.integers(1, 5_000, size=shape), axis=1)
    return pl.DataFrame(
        {
            "user_id": users,
            "item_ids": items[rng.integers(len(items), size=shape)].tolist(),
            "action_types": kinds[rng.integers(len(kinds), size=shape)].tolist(),
            "surfaces": [["home"] * LENGTH] * len(users),
            "times_s": times.tolist(),
            "durations_s": rng.exponential(20, size=shape).astype(np.float32).tolist(),
            "flags": np.ones(shape, np.int32).tolist(),
            "shown_items": items[rng.integers(len(items), size=(len(users), SHOWN))].tolist(),
            "earlier_items": items[rng.integers(len(items), size=(len(users), EARLIER))].tolist(),
            "shown_ms": [list(range(1000 * NOW_S, 1000 * NOW_S - SHOWN, -1))] * len(users),
        }
    )


def in_turn(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, list]:
    """(wall, CPU) seconds of each way, the ways taking turns; the first round is left out."""
    timed: dict[str, list] = {name: [] for name in ways}
    for _ in range(repeats + 1):
        for name, way in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            way()
            timed[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {name: values[1:] for name, values in timed.items()}


def rates(count: int, timed: list[tuple[float, float]]) -> dict[str, float]:
    per_wall = sorted(count / wall for wall, _ in timed)
    per_cpu = sorted(count / cpu for _, cpu in timed)
    return {
        **{"median": statistics.median(per_wall), "lowest": per_wall[0], "highest": per_wall[-1]},
        **{"per CPU second": statistics.median(per_cpu)},
        **{"CPU lowest": per_cpu[0], "CPU highest": per_cpu[-1]},
    }


def latencies(way: Callable[[str], object], users: list[str], count: int) -> dict[str, float]:
    rng = np.random.default_rng(2)
    chosen = [users[user] for user in rng.integers(len(users), size=count)]
    taken = []
    cpu = time.process_time()
    for user in chosen:
        start = time.perf_counter()
        way(user)
        taken.append((time.perf_counter() - start) * 1000)
    cpu_ms = (time.process_time() - cpu) * 1000 / count
    p50, p90, p99 = np.percentile(taken, [50, 90, 99])
    return {"median": p50, "p90": p90, "p99": p99, "CPU": cpu_ms}


def show(result: dict) -> None:
    for title, ways in result.items():
        print(f"\n{title}")
        for name, figures in ways.items():
            text = "  ".join(f"{key} {value:,.3g}" if value < 100 else f"{key} {value:,.0f}"
                             for key, value in figures.items())  # fmt: skip
            print(f"  {name:6s} {text}")


if __name__ == "__main__":
    main()
