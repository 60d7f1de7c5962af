"""What a request knows of its user: which actions count, and which items do not come back."""

import asyncio
from dataclasses import replace

import polars as pl
import pytest

from homefeed.data.contract import DatasetSpec, write_dataset
from homefeed.data.sequences import build_sequences
from homefeed.steps.sequences import write_sequences
from serving.requests import RankingRequest
from serving.sequence import PastAction
from serving.user_state import StoredUser, UserReads, UserState

DAY_S = 86_400
AT_S = 20_000 * DAY_S
AT_MS = 1000 * AT_S


@pytest.fixture
def known(world):
    """User 7 has a vector a day old and one published action."""
    world.users.rows["i:7"] = StoredUser(
        vector=world.vectors[3],
        vector_age_s=86_400.0,
        row=[PastAction("i:1003", "click", "home", AT_MS - 2000 * DAY_S)],
    )
    return world


def post(world, *actions: dict, arrived_ms: int = AT_MS - 1) -> dict:
    return asyncio.run(world.path.record(arrived_ms, list(actions)))


def click(item: int, **changes) -> dict:
    return {"user_id": 7, "item_id": item, "action_type": "click", **changes}


def state_of(world, *, realtime: bool = True) -> UserState:
    reads = UserReads(world.users, world.log, world.settings)
    return asyncio.run(reads.read("release_1", "i:7", request_ms=AT_MS, realtime=realtime))


def test_a_posted_action_that_took_time_and_names_none_is_in_the_next_requests_sequence(known):
    assert post(known, click(1050, duration_s=600))["accepted"] == 1
    state = state_of(known)
    assert [action.item_id for action in state.sequence] == ["i:1003", "i:1050"]
    assert state.sequence[-1].time_ms == AT_MS - 1 - 600_000


def test_distinct_events_of_one_second_count_each_and_one_posted_again_counts_once(known):
    first = click(1050, event_id="a", timestamp=AT_S - 60 + 0.1)
    post(known, first, click(1050, event_id="b", timestamp=AT_S - 60 + 0.7))
    assert post(known, first)["duplicates"] == 1
    state = state_of(known)
    assert [action.item_id for action in state.sequence] == ["i:1003", "i:1050", "i:1050"]
    assert state.merged_from_log == 2


def test_what_the_published_row_holds_already_is_not_counted_as_merged(known):
    at_s = AT_S - 2 * DAY_S
    post(known, click(1003, timestamp=at_s + 0.5), click(1004, timestamp=at_s))
    state = state_of(known)
    assert [action.item_id for action in state.sequence] == ["i:1003", "i:1004"]
    assert state.merged_from_log == 1
    assert state_of(known, realtime=False).merged_from_log == 0


def test_a_log_that_began_anew_is_not_measured_by_the_numbers_of_the_one_before(known):
    known.users.rows["i:7"] = replace(known.users.rows["i:7"], watermark=50_000)
    post(known, click(1050))
    assert [action.item_id for action in state_of(known).sequence] == ["i:1003", "i:1050"]


def test_no_item_of_a_users_long_past_comes_back(known, tmp_path):
    """150 actions on as many items: the first 30 of them are what the catalogue has."""
    past = [1001 + n for n in range(30)] + [5000 + n for n in range(120)]
    frame = pl.DataFrame(
        {
            "user_id": 7,
            "item_id": past,
            "action_type": "click",
            "timestamp": [AT_MS - 2000 * DAY_S + 1000 * n for n in range(len(past))],
        }
    )
    spec = DatasetSpec(name="log", files={}, positive=("click",))
    dataset = write_dataset(tmp_path / "data", spec, {"actions": frame})
    store = build_sequences(dataset, tmp_path / "store")
    write_sequences(tmp_path / "row.parquet", store, dataset, AT_S - DAY_S)
    (row,) = pl.read_parquet(tmp_path / "row.parquet").to_dicts()
    columns = zip(row["item_ids"][::-1], row["times_s"][::-1], strict=True)
    published = [PastAction(item, "click", "", 1000 * time_s) for item, time_s in columns]
    known.users.rows["i:7"] = StoredUser(
        vector=known.vectors[3], vector_age_s=60.0, row=published, earlier=row["earlier_items"]
    )
    assert len(published) == 100
    assert state_of(known).seen == {f"i:{item}" for item in past}
    request = RankingRequest(user_id=7, k=30, surface="home", time_ms=AT_MS)
    answer = asyncio.run(known.path.rank(request, {}))
    assert {each["item_id"] for each in answer["items"]} == set(range(1031, 1061))
