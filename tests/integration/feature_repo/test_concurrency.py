"""Readers and writers at the same time, in threads and in processes."""

import json
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from feature_repo.client import FeatureStore
from feature_repo.definitions import EncoderView, ReleaseService
from feature_repo.settings import StoreSettings
from homefeed.clock import SimulatedClock
from homefeed.errors import BusyError

pytestmark = pytest.mark.integration

DAY_S = 86_400
TODAY_S = 20_000 * DAY_S
OLD = "aaaa1111" * 2
ROUNDS = 6
USERS = 400


def _start(verb: str, *arguments: object) -> subprocess.Popen:
    """Start ``other_process.py`` beside this file: fork is unsafe once Feast runs threads."""
    script = Path(__file__).with_name("other_process.py")
    return subprocess.Popen([sys.executable, str(script), verb, *map(str, arguments)])


@pytest.mark.slow
def test_reads_go_on_while_another_process_publishes(store, settings, tmp_path):
    """No read fails, no vector is half of one round and half of another, none goes back."""
    _publish_first(store, tmp_path)
    store.warm_up("release_old")
    writer = _start("publish", store.connection.root, json.dumps(asdict(settings)), ROUNDS, USERS)
    failures: list[BaseException] = []
    seen: set[float] = set()

    def read(start: int) -> None:
        last = np.full(USERS, -1.0)
        user = start
        try:
            while writer.poll() is None:
                user = (user + 7) % USERS
                vector = store.read_online("release_old", f"i:{user}", TODAY_S + DAY_S).vector
                time.sleep(0.002)  # leave the other process something to run on
                assert len(set(vector.tolist())) == 1
                assert vector[0] >= last[user]
                last[user] = vector[0]
                seen.add(float(vector[0]))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read, args=(start,)) for start in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert writer.returncode == 0
    assert -1.0 in seen  # the readers were there before the first round
    after = store.read_online("release_old", "i:0", TODAY_S + DAY_S).vector
    assert after.tolist() == [ROUNDS - 1] * 8


def _publish_first(store: FeatureStore, folder: Path) -> None:
    path = folder / "first.parquet"
    users = [f"i:{user}" for user in range(USERS)]
    pl.DataFrame({"user_id": users, "vector": [[-1.0] * 8] * USERS}).write_parquet(path)
    store.publish_user_vectors(OLD, path, TODAY_S - 1)


@pytest.mark.slow
def test_declarations_of_several_processes_are_all_kept_and_readers_never_see_half_a_registry(
    tmp_path,
):
    root = tmp_path / "feast"
    store = FeatureStore(root)
    encoder = EncoderView(hash=OLD, dim=8)
    store.apply([encoder], [ReleaseService(name="release_old", encoder_hash=OLD)])
    other, mine = _start("apply", root, 10), set()
    while other.poll() is None:
        fresh = FeatureStore(root)  # reads the registry file as it is at this moment
        assert fresh.read_online("release_old", "i:1", TODAY_S).vector is None
        number = 20 + len(mine)
        fresh.apply([encoder], [ReleaseService(name=f"release_{number}", encoder_hash=OLD)])
        mine.add(f"release_{number}")
        time.sleep(0.2)
    assert other.returncode == 0
    names = {each.name for each in FeatureStore(root).connection.store().list_feature_services()}
    assert names == {"release_old", *(f"release_{number}" for number in range(10, 15)), *mine}


def test_a_second_publisher_is_told_to_wait(tmp_path, write_vectors, random_vectors):
    hasty = StoreSettings(lock_timeout_s=0.05)
    store = FeatureStore(tmp_path / "feast", settings=hasty, clock=SimulatedClock(TODAY_S))
    store.apply([EncoderView(hash=OLD, dim=8)])
    first = FeatureStore(tmp_path / "feast")
    with first.connection.lock("publish"), pytest.raises(BusyError, match="another run"):
        store.publish_user_vectors(OLD, write_vectors(random_vectors(1)), TODAY_S)
    assert store.publish_user_vectors(OLD, write_vectors(random_vectors(1)), TODAY_S).written == 120
