"""The built store against a slow, obvious reference: sort a list of dictionaries per user."""

import math
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homefeed.data.contract import Dataset
from homefeed.data.sequences import build as build_module
from homefeed.data.sequences import build_sequences, reading
from homefeed.errors import ConfigError, DatasetError
from homefeed.schema import ActionFlag

START_MS = 1_700_000_000_000
ROW = st.fixed_dictionaries(
    {
        "user_id": st.integers(1, 4).map(lambda n: n * 64),  # one partition: pieces are cut
        "item_id": st.sampled_from(["a", "b", "ö"]),
        "action_type": st.sampled_from(["click", "like", "watch", "hide"]),
        "timestamp": st.integers(0, 3000).map(lambda ms: START_MS + ms),
        "surface": st.sampled_from(["home", "other", None]),
        "duration_s": st.one_of(st.none(), st.floats(0, 1e5, width=32)),
        "event_id": st.sampled_from([None, "e1", "e2"]),
        "request_id": st.sampled_from([None, "r1", "r2"]),
        "arrived_at": st.one_of(st.none(), st.integers(START_MS, START_MS + 10**7)),
        "time_known": st.booleans(),
    }
)
PROPERTY = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def reference(rows: list[dict]) -> tuple[dict[int, list[dict]], list[int]]:
    """Rows by user in store order; the number of exact duplicates, and of further requests."""
    by_user: dict[int, list[dict]] = {}
    seen, requests, duplicates = set(), set(), [0, 0]
    for row in rows:
        same = ("user_id", "item_id", "action_type", "timestamp", "surface", "event_id")
        key = (*(row[column] for column in same), row["duration_s"] or 0.0)
        request = (*key, row["request_id"])
        if row["time_known"] and key in seen:
            duplicates[0] += 1
            duplicates[1] += request not in requests
            requests.add(request)
            continue
        if row["time_known"]:
            seen.add(key)
            requests.add(request)
        by_user.setdefault(row["user_id"], []).append(row)
    for each in by_user.values():
        each.sort(key=lambda row: row["timestamp"])  # stable: ties keep the order of the log
    return by_user, duplicates


@PROPERTY
@given(rows=st.lists(ROW, min_size=1, max_size=40))
def test_a_built_store_equals_the_reference_row_by_row(rows, dataset_of, tmp_path):
    store = build_sequences(dataset_of(rows), tmp_path / "store")
    expected, duplicates = reference(rows)
    assert [store.meta.duplicate_count, store.meta.other_request_count] == duplicates
    assert store.meta.action_count == sum(map(len, expected.values()))
    for user_id, actions in expected.items():
        rows_of_user = store.rows(store.users.index(user_id))
        assert store.items.ids(store.item[rows_of_user]) == [a["item_id"] for a in actions]
        types = [store.meta.action_types[code] for code in store.action[rows_of_user]]
        assert types == [a["action_type"] for a in actions]
        surfaces = [store.meta.surfaces[code] for code in store.surface[rows_of_user]]
        assert surfaces == [a["surface"] or "" for a in actions]
        seconds = store.time_s[rows_of_user].tolist()
        assert seconds == [a["timestamp"] // 1000 for a in actions]
        assert store.flags[rows_of_user].tolist() == [_flags(a) for a in actions]
        _check_availability(store, rows_of_user, actions)


def _flags(action: dict) -> int:
    flags = 0
    long_enough = action["action_type"] != "click" or (action["duration_s"] or 0) >= 10
    counts = action["surface"] in ("home", "search")
    if action["action_type"] in ("click", "like") and long_enough and counts:
        flags |= ActionFlag.POSITIVE
    if action["action_type"] == "hide":
        flags |= ActionFlag.NEGATIVE
    if not action["time_known"]:
        flags |= ActionFlag.TIME_UNKNOWN
    return int(flags)


def _check_availability(store, rows, actions) -> None:
    for available_s, action in zip(store.available_s(rows).tolist(), actions, strict=True):
        duration_s = action["duration_s"] or 0.0
        end_ms = max(action["timestamp"] + 1000 * duration_s, action["arrived_at"] or 0)
        first_request_s = available_s + 1  # the first whole second that sees the action
        assert end_ms < first_request_s * 1000
        # Never more than rounding later: float16 (1/2048), a minute, whole seconds.
        assert available_s <= end_ms / 1000 + duration_s / 1024 + 62


def test_rows_ordered_by_user_then_time_with_padding_user_empty(dataset_of, tmp_path):
    random = np.random.default_rng(0)
    users, items, times = (random.integers(0, most, 3000).tolist() for most in (300, 50, 10**9))
    rows = [
        _row(user, f"i{item}", time) for user, item, time in zip(users, items, times, strict=True)
    ]
    store = build_sequences(dataset_of(rows), tmp_path / "store")
    assert store.rows(0) == slice(0, 0)
    covered = np.concatenate(
        [
            np.arange(store.meta.action_count)[store.rows(u)]
            for u in range(store.meta.user_count + 1)
        ]
    )
    assert sorted(covered.tolist()) == list(range(store.meta.action_count))
    for user in range(1, store.meta.user_count + 1):
        times = store.time_s[store.rows(user)].tolist()
        assert all(a <= b for a, b in pairwise(times))
    assert store.meta.first_s == min(r["timestamp"] for r in rows) // 1000
    assert store.meta.last_s == max(r["timestamp"] for r in rows) // 1000


def test_an_action_costs_at_most_sixteen_bytes(dataset_of, tmp_path):
    rows = [_row(time=n) for n in range(1000)]
    store = build_sequences(dataset_of(rows), tmp_path / "store")
    files = [f for f in store.path.iterdir() if f.name not in ("meta.json", "users.npz")]
    size = sum(f.stat().st_size for f in files if f.is_file())
    assert size == 15 * 1000


def test_memory_and_batches_do_not_change_the_store(dataset_of, tmp_path, monkeypatch):
    random = np.random.default_rng(1)
    rows = [
        _row(user=int(random.integers(0, 200)), time=int(random.integers(0, 4000)))
        for _ in range(2000)
    ]
    dataset = dataset_of(rows)
    whole = build_sequences(dataset, tmp_path / "whole")
    monkeypatch.setattr(build_module, "max_records", lambda memory_mb: 7)
    small = build_sequences(dataset, tmp_path / "small")
    monkeypatch.setattr(reading, "BATCH_ROW_BYTES", 10**9)  # the smallest batches
    assert small.meta == whole.meta
    assert build_sequences(dataset, tmp_path / "batches").meta == whole.meta


def test_csv_and_parquet_give_the_same_store(tmp_path):
    rows = [_row(user=n % 7, time=n % 100) for n in range(500)]
    frame = pl.DataFrame(rows)
    spec = "timestamp_unit: ms\nname: x\npositive: [like]\nfiles: {actions: actions.%s}\n"
    stores = []
    for kind, write in (("parquet", frame.write_parquet), ("csv", frame.write_csv)):
        folder = tmp_path / kind
        folder.mkdir()
        write(folder / f"actions.{kind}")
        (folder / "dataset.yaml").write_text(spec % kind)
        stores.append(build_sequences(Dataset.open(folder), tmp_path / f"{kind}-store"))
    assert stores[0].meta.content_hash == stores[1].meta.content_hash


def test_untimed_history_keeps_its_order_and_its_repeats(dataset_of, tmp_path):
    items = ["a", "b", "a", "a", "c"]
    rows = [_row(item=item, action_type="watch", time_known=False) for item in items]
    store = build_sequences(dataset_of(rows), tmp_path / "store")
    assert store.items.ids(store.item[store.rows(1)]) == items
    assert (store.flags[:] & ActionFlag.TIME_UNKNOWN).all()


def test_the_span_is_that_of_the_times_that_are_known(dataset_of, tmp_path):
    untimed = _row(time=-86_400_000, action_type="watch", time_known=False)
    rows = [untimed, _row(time=5000), _row(time=9000)]
    meta = build_sequences(dataset_of(rows), tmp_path / "store").meta
    assert (meta.first_s, meta.last_s) == (START_MS // 1000 + 5, START_MS // 1000 + 9)
    meta = build_sequences(dataset_of([untimed]), tmp_path / "untimed").meta
    assert (meta.first_s, meta.last_s) == (0, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"user_id": None}, "rows without user_id"),
        ({"timestamp": None}, "rows without timestamp"),
        ({"action_type": "clikc"}, "'clikc' is not declared"),
        ({"timestamp": START_MS * 1000}, "timestamp_unit"),
        ({"timestamp": -1}, "timestamp -1 ms"),
    ],
)
def test_rows_that_the_check_would_set_aside_are_refused_and_leave_nothing(
    change, message, dataset_of, tmp_path
):
    dataset = dataset_of([_row(), {**_row(), **change}])
    with pytest.raises(DatasetError, match=message):
        build_sequences(dataset, tmp_path / "out" / "store")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_empty_log_and_too_little_memory_are_refused(dataset_of, tmp_path):
    with pytest.raises(DatasetError, match="no actions"):
        build_sequences(dataset_of([]), tmp_path / "store")
    with pytest.raises(ConfigError, match="at least 64"):
        build_sequences(dataset_of([_row()]), tmp_path / "store", memory_mb=1)


def test_a_parquet_file_damaged_inside_is_one_clear_error(dataset_of, tmp_path):
    dataset = dataset_of([_row(time=n) for n in range(5000)])
    path = dataset.root / "actions.parquet"
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 2] = b"\xff" * (len(content) // 2 - 4)
    path.write_bytes(content)
    with pytest.raises(DatasetError, match="not a readable Parquet file"):
        build_sequences(dataset, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_duration_beyond_float16_counts_as_lateness(dataset_of, tmp_path):
    rows = [_row(duration_s=100_000.0)]
    store = build_sequences(dataset_of(rows), tmp_path / "store")
    available_s = int(store.available_s(store.rows(1))[0])
    assert 100_000 <= available_s - START_MS // 1000 < 100_000 + 62
    assert math.isfinite(store.duration[0])


def test_actions_that_came_too_late_for_any_request_are_counted(dataset_of, tmp_path):
    late = [_row(time=days, arrived_at=START_MS + days * 86_400_000) for days in (1, 45, 46, 400)]
    store = build_sequences(dataset_of(late), tmp_path / "store")
    assert store.meta.never_count == 2 == (store.available_s(store.rows(1)) > 2**40).sum()


def _row(user=1, item="a", time=0, action_type="like", **more) -> dict:
    return {
        "user_id": user,
        "item_id": item,
        "action_type": action_type,
        "timestamp": START_MS + time,
        **more,
    }
