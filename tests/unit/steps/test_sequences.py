import numpy as np
import polars as pl
import pytest

from homefeed.data.contract import DatasetSpec, write_dataset
from homefeed.data.sequences import build_sequences
from homefeed.steps import sequences
from homefeed.steps.sequences import write_sequences

DAY_S = 86_400
AS_OF_S = 20 * DAY_S


def action(user, item, time_s):
    return {"user_id": user, "item_id": item, "action_type": "like", "timestamp": time_s * 1000}


def shown(user, item, time_s):
    return {
        "request_id": f"{user}-{time_s}",
        "user_id": user,
        "item_id": item,
        "timestamp": time_s * 1000,
        "position": 1,
        "surface": "home",
        "like": 0,
    }


def rows(tmp_path, impressions: list | None) -> dict[str, dict]:
    labels = ("like",) if impressions else ()
    spec = DatasetSpec(name="t", files={}, positive=("like",), labels=labels)
    actions = [action("a", "x", DAY_S), action("a", "y", 19 * DAY_S), action("b", "z", 2 * DAY_S)]
    tables = {"actions": pl.DataFrame(actions)}
    if impressions:
        tables["impressions"] = pl.DataFrame(impressions)
    dataset = write_dataset(tmp_path / "data", spec, tables)
    store = build_sequences(dataset, tmp_path / "store")
    write_sequences(tmp_path / "out.parquet", store, dataset, AS_OF_S)
    return {row["user_id"]: row for row in pl.read_parquet(tmp_path / "out.parquet").to_dicts()}


def test_a_row_holds_the_last_actions_and_what_was_shown_lately_each_newest_first(tmp_path):
    found = rows(
        tmp_path,
        [
            shown("a", "x", 15 * DAY_S),
            shown("a", "x", 17 * DAY_S),
            shown("a", "z", 18 * DAY_S),
            shown("a", "y", 5 * DAY_S),  # forgotten
            shown("a", "y", 21 * DAY_S),  # after the midnight
        ],
    )
    assert found["s:a"]["item_ids"] == ["s:y", "s:x"]
    assert found["s:a"]["shown_items"] == ["s:z", "s:x"]
    assert found["s:a"]["shown_ms"] == [18 * DAY_S * 1000, 17 * DAY_S * 1000]
    assert (found["s:b"]["shown_items"], found["s:b"]["shown_ms"]) == ([], [])


def test_a_log_without_impressions_has_shown_nothing(tmp_path):
    found = rows(tmp_path, None)
    assert [row["shown_items"] for row in found.values()] == [[], []]
    assert found["s:a"]["times_s"] == [19 * DAY_S, DAY_S]


@pytest.mark.parametrize("count", [201, 300])
def test_a_row_keeps_the_newest_two_hundred_shown_items(tmp_path, count):
    impressions = [shown("a", f"i{n}", AS_OF_S - n) for n in range(count)]
    impressions += [shown("b", "x", AS_OF_S - 5)]
    spec = DatasetSpec(name="t", files={}, positive=("like",), labels=("like",))
    items = np.array([f"i{n}" for n in range(count)])
    actions = [action("a", item, DAY_S + n) for n, item in enumerate(items.tolist())]
    tables = {"actions": pl.DataFrame(actions), "impressions": pl.DataFrame(impressions)}
    dataset = write_dataset(tmp_path / "data", spec, tables)
    store = build_sequences(dataset, tmp_path / "store")
    write_sequences(tmp_path / "out.parquet", store, dataset, AS_OF_S)
    row = pl.read_parquet(tmp_path / "out.parquet").to_dicts()[0]
    assert row["shown_items"] == [f"s:i{n}" for n in range(200)]


def long_past(tmp_path, actions: list) -> dict[str, dict]:
    spec = DatasetSpec(name="t", files={}, positive=("like",))
    dataset = write_dataset(tmp_path / "data", spec, {"actions": pl.DataFrame(actions)})
    store = build_sequences(dataset, tmp_path / "store")
    write_sequences(tmp_path / "out.parquet", store, dataset, AS_OF_S)
    return {row["user_id"]: row for row in pl.read_parquet(tmp_path / "out.parquet").to_dicts()}


def earlier_of(actions: list, user: str) -> list[str]:
    """The slow way: items newest first, each once, without those of the last hundred actions."""
    mine = [each["item_id"] for each in actions if each["user_id"] == user][::-1]
    return [f"s:{item}" for item in dict.fromkeys(mine[100:]) if item not in mine[:100]]


@pytest.mark.parametrize("chunk", [1, 40, 1 << 22])
def test_a_row_tells_the_items_of_earlier_actions_newest_first_each_once(
    tmp_path, monkeypatch, chunk
):
    monkeypatch.setattr(sequences, "CHUNK_ACTIONS", chunk)
    drawn = np.random.default_rng(0)
    counts = {"a": 180, "b": 100, "c": 101, "d": 3, "e": 260}
    actions = [
        action(user, f"i{drawn.integers(150)}", DAY_S + n)
        for user, count in counts.items()
        for n in range(count)
    ]
    found = long_past(tmp_path, actions)
    for user in counts:
        assert found[f"s:{user}"]["earlier_items"] == earlier_of(actions, user)
    assert len(found["s:e"]["earlier_items"]) > 20
    assert found["s:b"]["earlier_items"] == found["s:d"]["earlier_items"] == []


def test_earlier_items_are_bounded_and_the_oldest_go_first(tmp_path, monkeypatch):
    assert sequences.EARLIER_LENGTH == 2_000
    monkeypatch.setattr(sequences, "EARLIER_LENGTH", 20)
    actions = [action("a", f"i{n}", DAY_S + n) for n in range(150)]
    (row,) = long_past(tmp_path, actions).values()
    assert row["item_ids"][-1] == "s:i50"
    assert row["earlier_items"] == [f"s:i{n}" for n in range(49, 29, -1)]


def test_an_earlier_action_that_was_not_there_by_the_midnight_is_left_to_the_log(tmp_path):
    actions = [action("a", f"i{n}", DAY_S + n) for n in range(150)]
    for n, each in enumerate(actions):
        each["arrived_at"] = each["timestamp"] if n != 10 else 1000 * (AS_OF_S + 60)
    (row,) = long_past(tmp_path, actions).values()
    assert "s:i10" not in row["earlier_items"]
    assert len(row["earlier_items"]) == 49
