"""What another process does while test_concurrency.py reads: ``publish`` or ``apply``."""

import json
import sys
from pathlib import Path

import polars as pl

from feature_repo.client import FeatureStore
from feature_repo.definitions import EncoderView, ReleaseService
from feature_repo.settings import StoreSettings
from homefeed.clock import SimulatedClock

DAY_S = 86_400
TODAY_S = 20_000 * DAY_S
ENCODER = "aaaa1111" * 2


def publish(root: Path, settings: str, rounds: int, users: int) -> None:
    """Every round writes vectors that hold the round's number in all places."""
    clock = SimulatedClock(TODAY_S + DAY_S)
    store = FeatureStore(root, settings=StoreSettings(**json.loads(settings)), clock=clock)
    for number in range(rounds):
        path = root / f"round{number}.parquet"
        ids = [f"i:{user}" for user in range(users)]
        pl.DataFrame({"user_id": ids, "vector": [[float(number)] * 8] * users}).write_parquet(path)
        store.publish_user_vectors(ENCODER, path, TODAY_S + number)


def apply(root: Path, first: int) -> None:
    """Declare five encoders, one after the other."""
    store = FeatureStore(root)
    for number in range(first, first + 5):
        encoder = f"{number:08d}" * 2
        service = ReleaseService(name=f"release_{number}", encoder_hash=encoder)
        store.apply([EncoderView(hash=encoder, dim=8)], [service])


if __name__ == "__main__":
    verb, root, *rest = sys.argv[1:]
    if verb == "publish":
        publish(Path(root), rest[0], int(rest[1]), int(rest[2]))
    else:
        apply(Path(root), int(rest[0]))
