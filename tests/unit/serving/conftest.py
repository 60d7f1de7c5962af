"""A tiny served release of real parts: exact search, a real ranker, a real log."""

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from homefeed.models.config import TransActConfig, variant
from homefeed.models.ranker import Ranker
from homefeed.models.ranker_batch import ItemTables
from homefeed.models.ranker_description import RankerInputs
from homefeed.models.scorer import Scorer
from homefeed.retrieval import ItemIndex
from serving.catalog import Catalog, Source, Wanted
from serving.event_log import EventLog
from serving.explain import ExplanationStore
from serving.ids import IdTable
from serving.log_writer import LogWriter
from serving.logged import Action
from serving.rankers import Rankers
from serving.request_path import LivePath
from serving.scoring import InProcessScoring
from serving.served import RunningTest, Served, ServedRelease
from serving.settings import Settings
from serving.user_state import StoredUser, UserReads

NUM_ITEMS, DIM = 60, 8
HEADS = ("click", "like")
ACTION_TYPES = ("", "click", "like", "hide")
SURFACES = ("", "home", "related")


class Users:
    """Features in a dictionary, read as the feature store's are; ``fault`` is raised instead."""

    def __init__(self) -> None:
        self.rows: dict[str, StoredUser] = {}
        self.fault: Exception | None = None

    def read(self, feature_service: str, user_id: str, now_s: float) -> StoredUser | None:
        if self.fault is not None:
            raise self.fault
        return self.rows.get(user_id)


class SlowExplanations(ExplanationStore):
    """A store whose file takes what is written to it at ``go``."""

    def __init__(self, path: Path, **kwargs: int) -> None:
        super().__init__(path, **kwargs)
        self.go = Event()

    def put(self, explanations: Mapping[str, Mapping[str, Any]]) -> None:
        self.go.wait()
        super().put(explanations)


@pytest.fixture(scope="session")
def item_vectors() -> np.ndarray:
    vectors = np.random.default_rng(0).normal(size=(NUM_ITEMS + 1, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[0] = 0
    return vectors


@pytest.fixture(scope="session")
def scorer(item_vectors: np.ndarray) -> Scorer:
    """A real ranker with random weights, as one that was not trained."""
    transact = TransActConfig(item_dim=8, action_dim=4, layers=1, ffn_dim=8, output_dim=8)
    inputs = RankerInputs(
        heads=HEADS,
        action_types=ACTION_TYPES,
        surfaces=SURFACES,
        stats=("rate",),
        item_count=NUM_ITEMS,
        vector_dim=DIM,
        user_vector_dim=DIM,
        negative=("hide",),
    )
    ranker = Ranker(variant("full", transact=transact), inputs)
    tables = ItemTables(vectors=item_vectors, match={"pinnerformer": item_vectors})
    return Scorer(ranker, tables, np.zeros((NUM_ITEMS + 1, 1), np.float32))


@pytest.fixture(scope="session")
def make_release(item_vectors: np.ndarray):
    """Builds a served release; items are the integers 1001..1060."""

    def make(version: int = 1, **changes) -> ServedRelease:
        popularity = np.arange(NUM_ITEMS + 1, dtype=np.float32)  # higher ids are more popular
        values = {
            "version": version,
            "hash": f"hash{version}",
            "feature_service": f"release_{version}",
            "realtime": True,
            "utility": {"click": 1.0, "like": 1.0},
            "heads": HEADS,
            "snapshot_as_of_s": 0,
            "dim": DIM,
            "items": IdTable(range(1001, 1001 + NUM_ITEMS)),
            "action_types": {name: i for i, name in enumerate(ACTION_TYPES) if i},
            "surfaces": {name: i for i, name in enumerate(SURFACES) if i},
            "index": ItemIndex.build(item_vectors),
            "popularity": popularity,
            "popular": np.argsort(-popularity[1:]).astype(np.int32) + 1,
            "recent": np.arange(1, 11, dtype=np.int32),
        }
        return ServedRelease(**{**values, **changes})

    return make


@pytest.fixture
def log(tmp_path) -> EventLog:
    return EventLog(tmp_path / "events.db")


@pytest.fixture
def slow_explanations(tmp_path) -> Callable[..., SlowExplanations]:
    """Makes a store of explanations whose file is slow."""
    return partial(SlowExplanations, tmp_path / "explain.db")


@pytest.fixture
def rename_table(log) -> Callable[[str, str], None]:
    """Renames a table of the log's file from beside: what reads or writes it fails until it is
    back.
    """

    def rename(table: str, other: str) -> None:
        with closing(sqlite3.connect(log.path)) as connection:
            connection.execute(f"ALTER TABLE {table} RENAME TO {other}")

    return rename


@pytest.fixture
def world(tmp_path, log, make_release, scorer, item_vectors):
    """A request path over real parts; ``served`` and ``users`` can be changed by a test."""
    settings = Settings(
        workspace=tmp_path,
        simulated_clock=True,
        candidates=20,
        k=5,
        features_budget_ms=5_000,  # a busy machine is not what these tests are about
        log_budget_ms=5_000,
    )
    explanations = ExplanationStore(tmp_path / "explain.db", limit=100)
    writer = LogWriter(log, explanations)
    users = Users()
    arms = {"one": 1, "other": 2}
    wanted = Wanted(champion=1, tests=(RunningTest(name="t", arms=arms, arm_of=arms.get),))
    source = Source(wanted=lambda: wanted, key=str, load=lambda _: scorer)
    catalog = Catalog(source, poll_s=60.0)
    catalog.refresh()
    place = SimpleNamespace(
        settings=settings,
        users=users,
        log=log,
        served=Served(champion=1, releases={1: make_release()}),
        explanations=explanations,
        scorer=scorer,
        vectors=item_vectors,
    )
    place.path = LivePath(
        settings=settings,
        served=lambda: place.served,
        users=UserReads(users, log, settings),
        scoring=InProcessScoring(Rankers(catalog), budget_ms=5_000),
        writer=writer,
        explanations=explanations,
    )
    yield place
    writer.close()


@pytest.fixture
def make_action():
    """Builds an action of user i:7 that arrived when it ended."""

    def make(event_id: str, item: str = "i:1001", time_ms: int = 1_000, **changes) -> Action:
        values = {
            "event_id": event_id,
            "user_id": "i:7",
            "item_id": item,
            "action_type": "click",
            "time_ms": time_ms,
            "arrived_ms": time_ms,
        }
        return Action(**{**values, **changes})

    return make
