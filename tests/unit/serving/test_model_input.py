"""What the ranker is told when it serves is what it was told in training, at the same moment."""

import asyncio

import numpy as np
import polars as pl
import pytest

from homefeed.data.contract import DatasetSpec, write_dataset
from homefeed.data.familiarity import LAST_ACTIONS, acted_on
from homefeed.data.sequences import SequenceStore, build_sequences
from homefeed.steps.sequences import write_sequences
from serving.ids import IdTable
from serving.logged import Action
from serving.model_input import score_request
from serving.sequence import PastAction
from serving.settings import Settings
from serving.user_state import StoredUser, UserReads

DAY_S, ACTIONS, BEFORE_MIDNIGHT, STEP_S = 86_400, 130, 110, 10
MIDNIGHT_S = 20_000 * DAY_S
FIRST_S = MIDNIGHT_S + 5 - BEFORE_MIDNIGHT * STEP_S
ROWS = [  # a different item each time; every seventh takes a minute, so that it counts later
    {"item": 1000 + number, "time_s": FIRST_S + number * STEP_S, "lasts_s": 60 * (number % 7 == 0)}
    for number in range(ACTIONS)
]
NEW = 1000 + ACTIONS - 15  # acted on, but the release does not know it yet


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> SequenceStore:
    folder = tmp_path_factory.mktemp("log")
    frame = pl.DataFrame(
        {
            "user_id": 7,
            "item_id": [row["item"] for row in ROWS],
            "action_type": "click",
            "timestamp": [1000 * row["time_s"] for row in ROWS],
            "duration_s": [float(row["lasts_s"]) for row in ROWS],
        }
    )
    spec = DatasetSpec(name="log", files={}, positive=("click",))
    dataset = write_dataset(folder / "data", spec, {"actions": frame})
    made = build_sequences(dataset, folder / "store")
    write_sequences(folder / "row.parquet", made, dataset, MIDNIGHT_S)
    return made


@pytest.fixture
def read_state(store, world):
    """The user's state: the row that was published at midnight, and the log with all actions."""
    row = pl.read_parquet(store.path.parent / "row.parquet").to_dicts()[0]
    columns = (row[name][::-1] for name in ("item_ids", "action_types", "times_s", "durations_s"))
    past = [PastAction(i, kind, "", 1000 * t, d) for i, kind, t, d in zip(*columns, strict=True)]
    available = [row["time_s"] + row["lasts_s"] <= MIDNIGHT_S for row in ROWS]
    watermark = available.index(False)
    world.users.rows["i:7"] = StoredUser(row=past, watermark=watermark)
    for number, each in enumerate(ROWS):
        at_ms = 1000 * each["time_s"]
        event = {"event_id": f"e{number}", "user_id": "i:7", "item_id": f"i:{each['item']}"}
        times = {"time_ms": at_ms, "duration_s": float(each["lasts_s"]), "arrived_ms": at_ms}
        world.log.append([Action(**event, action_type="click", **times)])

    def run(time_s: int, *, realtime: bool, history_length: int = 100):
        settings = Settings(
            workspace=world.settings.workspace,
            simulated_clock=True,
            history_length=history_length,
            features_budget_ms=5_000,
            log_budget_ms=5_000,
        )
        reads = UserReads(world.users, world.log, settings)
        return asyncio.run(reads.read("f", "i:7", request_ms=1000 * time_s, realtime=realtime))

    return run


@pytest.mark.parametrize("realtime", [True, False])
@pytest.mark.parametrize("history_length", [100, 20])
@pytest.mark.parametrize("after_s", [1, 61, 95, 150, 1000])
def test_what_a_user_acted_on_is_the_same_served_and_in_training(
    store, read_state, make_release, realtime, history_length, after_s
):
    time_s = MIDNIGHT_S + after_s
    items = np.array([i for i in range(1, ACTIONS + 1) if store.items.ids([i]) != [NEW]])
    positions = store.last_available(np.array([1]), np.array([time_s]), LAST_ACTIONS)
    last = np.where(positions >= 0, store.item[np.maximum(positions, 0)], 0)
    trained = acted_on(last, np.zeros(len(items), int), items)

    known = [-1 if each == NEW else each for each in store.items.ids(np.arange(1, ACTIONS + 1))]
    release = make_release(items=IdTable(known))
    state = read_state(time_s, realtime=realtime, history_length=history_length)
    served = score_request(release, state, items.astype(np.int32), 1000 * time_s, "home")
    assert served.familiarity[:, 0].tolist() == trained.tolist()
    assert 0 < trained.sum() < len(items)
    assert len(served.items) <= history_length


def test_only_actions_that_had_arrived_by_the_request_are_said_to_be_merged(read_state):
    early, late = (
        read_state(MIDNIGHT_S + after_s, realtime=True).merged_from_log for after_s in (1, 1000)
    )
    assert early < late
    assert read_state(MIDNIGHT_S + 1000, realtime=False).merged_from_log == 0
