"""A feature store per test, on SQLite and, where the machine has one, on Redis."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from feature_repo.client import FeatureStore
from feature_repo.definitions import EncoderView, ReleaseService
from feature_repo.settings import StoreSettings
from homefeed.clock import SimulatedClock

DAY_S = 86_400
NOON_S = 20_000 * DAY_S + DAY_S // 2
OLD, NEW = "aaaa1111" * 2, "bbbb2222" * 2
DIM = 8


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(NOON_S)


@pytest.fixture(params=["sqlite", "redis"])
def settings(request: pytest.FixtureRequest) -> StoreSettings:
    if request.param == "sqlite":
        return StoreSettings(batch_rows=50)
    address = request.getfixturevalue("empty_redis")
    return StoreSettings(online_store="redis", redis=address, batch_rows=50)


@pytest.fixture
def store(tmp_path: Path, settings: StoreSettings, clock: SimulatedClock) -> FeatureStore:
    """Two live encoders, a release of each."""
    store = FeatureStore(tmp_path / "feast", settings=settings, clock=clock)
    store.apply(
        [EncoderView(hash=OLD, dim=DIM), EncoderView(hash=NEW, dim=DIM)],
        [
            ReleaseService(name="release_old", encoder_hash=OLD),
            ReleaseService(name="release_new", encoder_hash=NEW),
        ],
    )
    return store


@pytest.fixture
def write_vectors(tmp_path: Path) -> Callable[..., Path]:
    """``write_vectors(vectors [U, D])`` → a users.parquet of users i:0, i:1, ..."""

    def write(vectors: np.ndarray, name: str = "users.parquet") -> Path:
        path = tmp_path / name
        pl.DataFrame(
            {
                "user_id": [f"i:{user}" for user in range(len(vectors))],
                "vector": pl.Series(
                    vectors.astype(np.float32), dtype=pl.Array(pl.Float32, vectors.shape[1])
                ),
            }
        ).write_parquet(path)
        return path

    return write


@pytest.fixture
def random_vectors() -> Callable[..., np.ndarray]:
    def make(seed: int, users: int = 120, dim: int = DIM) -> np.ndarray:
        return np.random.default_rng(seed).normal(size=(users, dim)).astype(np.float32)

    return make


@pytest.fixture
def sequences() -> Callable[..., pl.DataFrame]:
    """``sequences(users, length, newest_s)``: lists newest first."""

    def make(users: int = 3, length: int = 4, newest_s: int = NOON_S - 100) -> pl.DataFrame:
        times = [newest_s - 60 * step for step in range(length)]
        return pl.DataFrame(
            {
                "user_id": [f"s:ü{user}" for user in range(users)],
                "item_ids": [
                    [f"i:{user * 10 + step}" for step in range(length)] for user in range(users)
                ],
                "action_types": [["click", "like"][:1] * length for _ in range(users)],
                "surfaces": [["home"] * length for _ in range(users)],
                "times_s": [times for _ in range(users)],
                "durations_s": [[0.5 + step for step in range(length)] for _ in range(users)],
                "flags": [[1] * length for _ in range(users)],
                "shown_items": [[f"i:{user}", "s:é"] for user in range(users)],
                "earlier_items": [["i:7", f"s:ö{user}"] for user in range(users)],
                "shown_ms": [[1000 * newest_s, 999 * newest_s] for _ in range(users)],
            }
        )

    return make
