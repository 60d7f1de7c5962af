"""Items that were only shown have an index, too, and every index tells of the past alone."""

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homefeed.data.sequences import append as append_module
from homefeed.data.sequences import append_sequences, build_sequences, reading
from homefeed.data.sequences.first_shown import earliest, merged

START_MS = 1_700_000_000_000
TIME = st.integers(0, 30)
ITEM = st.sampled_from(list("abcdefghij"))
LOG = st.lists(st.tuples(TIME, ITEM), min_size=1, max_size=20, unique=True)
SHOWN = st.lists(st.tuples(TIME, ITEM), max_size=20)
PROPERTY = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def actions(pairs: list[tuple[int, str]]) -> list[dict]:
    return [
        {
            "user_id": 1,
            "item_id": item,
            "action_type": "like",
            "timestamp": START_MS + 1000 * time,
            "time_known": True,
        }
        for time, item in pairs
    ]


def shown(pairs: list[tuple[int, str]]) -> list[dict]:
    return [
        {
            "request_id": "r",
            "user_id": 1,
            "item_id": item,
            "timestamp": START_MS + 1000 * time,
            "position": 1,
        }
        for time, item in pairs
    ]


def read_in_batches(patch: pytest.MonkeyPatch, rows: int) -> None:
    patch.setattr(reading, "MIN_ROWS", rows)
    patch.setattr(reading, "BATCH_ROW_BYTES", 10**9)  # so large that the least fits no memory


def vocabulary_of(store) -> list[str]:
    return store.items.ids(list(range(1, store.meta.item_count + 1)))


def reference(acted: list[tuple[int, str]], seen: list[tuple[int, str]]) -> list[str]:
    """All rows in one list, ordered; an action counts at the latest time up to its row."""
    rows, latest = [], 0
    for number, (time, item) in enumerate(acted):
        latest = max(latest, time)
        rows.append((latest, 1, number, item))
    rows += [(time, 0, number, item) for number, (time, item) in enumerate(seen)]
    return list(dict.fromkeys(item for *_, item in sorted(rows)))


@PROPERTY
@given(acted=LOG, seen=SHOWN, small=st.booleans())
def test_acted_on_and_shown_items_enter_in_order_of_time_as_in_the_reference(
    acted, seen, small, dataset_of, tmp_path
):
    with pytest.MonkeyPatch.context() as patch:
        if small:
            read_in_batches(patch, 2)
        store = build_sequences(dataset_of(actions(acted), shown(seen)), tmp_path / "store")
    assert vocabulary_of(store) == reference(acted, seen)
    assert [vocabulary_of(store)[i - 1] for i in store.item] == [
        item for _, item in sorted(acted, key=lambda pair: pair[0])
    ]


@PROPERTY
@given(acted=LOG, seen=SHOWN, cut=st.integers(1, 29))
def test_a_longer_log_extends_the_vocabulary_of_a_shorter_one(
    acted, seen, cut, dataset_of, tmp_path
):
    acted = sorted([(0, "a"), *acted])
    early = [pair for pair in acted if pair[0] < cut], [pair for pair in seen if pair[0] < cut]
    short = build_sequences(dataset_of(actions(early[0]), shown(early[1])), tmp_path / "short")
    whole = build_sequences(dataset_of(actions(acted), shown(seen)), tmp_path / "whole")
    assert whole.items.first(short.items.size).hash == short.items.hash


@PROPERTY
@given(acted=LOG, seen=SHOWN, cut=st.integers(1, 29), limit=st.sampled_from([3, 10_000]))
def test_appending_a_day_with_impressions_equals_building_all_at_once(
    acted, seen, cut, limit, dataset_of, tmp_path
):
    acted = [(0, "a"), *acted]
    days = [
        dataset_of(
            actions([pair for pair in acted if within(pair[0])]),
            shown([pair for pair in seen if within(pair[0])]),
        )
        for within in (lambda time: time < cut, lambda time: time >= cut)
    ]
    in_order = [p for p in acted if p[0] < cut] + [p for p in acted if p[0] >= cut]
    whole = build_sequences(dataset_of(actions(in_order), shown(seen)), tmp_path / "whole")
    build_sequences(days[0], tmp_path / "one")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(append_module, "max_records", lambda memory_mb: limit)
        two = append_sequences(tmp_path / "one", days[1], tmp_path / "two")
        again = append_sequences(tmp_path / "two", days[1], tmp_path / "again")
    for store in (two, again):
        assert store.meta.items_hash == whole.meta.items_hash
        assert store.meta.content_hash == whole.meta.content_hash
    assert again.meta.dataset_fingerprint == two.meta.dataset_fingerprint


@PROPERTY
@given(first=st.tuples(LOG, SHOWN), second=st.tuples(LOG, SHOWN))
def test_an_appended_day_changes_no_index_however_late_its_rows_are(
    first, second, dataset_of, tmp_path
):
    one, day = (dataset_of(actions(acted), shown(seen)) for acted, seen in (first, second))
    store = build_sequences(one, tmp_path / "one")
    longer = append_sequences(store.path, day, tmp_path / "two")
    named = {item for pairs in (*first, *second) for _, item in pairs}
    assert longer.items.first(store.items.size).hash == store.items.hash
    assert sorted(vocabulary_of(longer)) == sorted(named)


def test_the_vocabulary_so_far_keeps_its_indices_where_a_late_action_would_change_them(
    dataset_of, tmp_path
):
    day, late = dataset_of(actions([(0, "a")]), shown([(5, "y")])), [(-1, "x"), (20, "b")]
    one = build_sequences(day, tmp_path / "one")
    two = append_sequences(one.path, dataset_of(actions(late), shown([])), tmp_path / "two")
    both = dataset_of(actions([(0, "a"), *late]), shown([(5, "y")]))
    at_once = build_sequences(both, tmp_path / "at-once")
    assert vocabulary_of(two) == ["a", "y", "x", "b"]
    assert vocabulary_of(at_once) == ["a", "x", "y", "b"]


def test_a_day_of_impressions_alone_is_another_log_once(dataset_of, tmp_path):
    first = build_sequences(dataset_of(actions([(0, "a")])), tmp_path / "first")
    day = dataset_of([], shown([(5, "b"), (6, "a")]))
    once = append_sequences(first.path, day, tmp_path / "once")
    twice = append_sequences(once.path, day, tmp_path / "twice")
    assert vocabulary_of(once) == vocabulary_of(twice) == ["a", "b"]
    assert once.meta.dataset_fingerprint != first.meta.dataset_fingerprint
    assert twice.meta.dataset_fingerprint == once.meta.dataset_fingerprint
    assert once.meta.action_count == first.meta.action_count


def test_without_impressions_items_keep_the_order_of_the_log(dataset_of, tmp_path):
    store = build_sequences(dataset_of(actions([(9, "c"), (3, "a"), (5, "b")])), tmp_path / "store")
    assert vocabulary_of(store) == ["c", "a", "b"]


def test_an_impression_without_an_item_or_a_time_names_nothing(dataset_of, tmp_path):
    rows = [*shown([(1, "b")]), {"item_id": None, "timestamp": START_MS}, {"item_id": "c"}]
    store = build_sequences(dataset_of(actions([(0, "a")]), rows), tmp_path / "store")
    assert vocabulary_of(store) == ["a", "b"]


PART, PARTS = 10, 64


def sorted_rows(items: list[str]) -> list[int]:
    """How many rows each sorting has where items, one after the other, come in small parts."""
    rows, all_shown = [], pl.DataFrame({"item_id": items, "timestamp": range(len(items))})

    def counting(frame: pl.DataFrame) -> pl.DataFrame:
        rows.append(len(frame))
        return earliest(frame)

    found = merged(all_shown.iter_slices(PART), counting)
    assert found["item_id"].to_list() == list(dict.fromkeys(items))
    assert rows.count(PART) >= PARTS
    return rows


def test_a_row_is_sorted_a_few_times_however_many_parts_come_after_it():
    rows = sorted_rows([f"item {number}" for number in range(PART * PARTS)])
    # Doubling sorts each row once in its part, then 1 + 1/2 + 1/4 + ... times, and at the end;
    # merging with every part would sort it PARTS / 2 times.
    assert sum(rows) <= 5 * PART * PARTS


def test_items_that_are_shown_again_and_again_are_held_once():
    rows = sorted_rows(list("abcdefghij") * PARTS)
    assert max(rows) <= 3 * PART  # what was kept, and as much again beside a part
