import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homefeed.data.sequences import SequenceStore, append_sequences, build_sequences
from homefeed.data.sequences import append as append_module
from homefeed.data.sequences.layout import COLUMNS
from homefeed.errors import ArtifactError, DatasetError

START_S = 1_700_000_000
# Whole seconds and no event ids: what the store keeps, so that day by day is exactly all at once.
ROW = st.fixed_dictionaries(
    {
        "user_id": st.sampled_from([1, 64, 65, 128, 192, 193]),
        "item_id": st.sampled_from(["a", "b"]),
        "action_type": st.sampled_from(["click", "like", "hide"]),
        "timestamp": st.integers(0, 5).map(lambda s: (START_S + s) * 1000),
        "surface": st.sampled_from(["home", "other", None]),
        "duration_s": st.sampled_from([None, 5.0, 20.0, 5e6]),  # the last counts for no request
        "time_known": st.just(True),
    }
)
DAYS = st.lists(st.lists(ROW, min_size=1, max_size=15), min_size=2, max_size=3)
PROPERTY = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def same(a: SequenceStore, b: SequenceStore) -> bool:
    columns = all(np.array_equal(getattr(a, name), getattr(b, name)) for name in COLUMNS)
    users = all(
        np.array_equal(getattr(a, n), getattr(b, n)) for n in ("start", "length", "delay_s")
    )
    ids = a.meta.users_hash == b.meta.users_hash and a.meta.items_hash == b.meta.items_hash
    return columns and users and ids and a.meta.content_hash == b.meta.content_hash


@PROPERTY
@given(days=DAYS, limit=st.sampled_from([3, 10_000]))
def test_appending_day_by_day_equals_building_all_at_once(days, limit, dataset_of, tmp_path):
    whole = build_sequences(dataset_of([row for day in days for row in day]), tmp_path / "whole")
    path = build_sequences(dataset_of(days[0]), tmp_path / "days").path
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(append_module, "max_records", lambda memory_mb: limit)
        for day in days[1:]:
            append_sequences(path, dataset_of(day), path)
    appended = SequenceStore.open(path)
    assert same(appended, whole)
    assert appended.meta.duplicate_count == whole.meta.duplicate_count
    assert appended.meta.never_count == whole.meta.never_count
    assert appended.meta.surfaces == whole.meta.surfaces


def test_a_day_split_within_a_second_boundary_keeps_millisecond_order(dataset_of, tmp_path):
    random = np.random.default_rng(0)
    users, times_ms = (random.integers(0, most, 2000).tolist() for most in (9, 20_000))
    rows = [
        _row(f"i{n}", user, time_ms / 1000)
        for n, (user, time_ms) in enumerate(zip(users, times_ms, strict=True))
    ]
    first = [row for row in rows if row["timestamp"] < (START_S + 10) * 1000]
    later = [row for row in rows if row["timestamp"] >= (START_S + 10) * 1000]
    whole = build_sequences(dataset_of(first + later), tmp_path / "whole")
    build_sequences(dataset_of(first), tmp_path / "one")
    assert same(append_sequences(tmp_path / "one", dataset_of(later), tmp_path / "two"), whole)


@PROPERTY
@given(days=DAYS)
def test_appending_a_day_again_changes_nothing(days, dataset_of, tmp_path):
    build_sequences(dataset_of(days[0]), tmp_path / "a")
    again = dataset_of(days[1])
    once = append_sequences(tmp_path / "a", again, tmp_path / "b")
    twice = append_sequences(tmp_path / "b", again, tmp_path / "c")
    assert same(once, twice)
    assert twice.meta.dataset_fingerprint == once.meta.dataset_fingerprint
    assert twice.meta.duplicate_count == once.meta.duplicate_count + len(days[1])


def test_two_events_equal_but_for_their_ids_both_stay_when_their_day_is_appended_twice(
    dataset_of, tmp_path
):
    build_sequences(dataset_of([_row(item="old", time_s=-100)]), tmp_path / "a")
    day = dataset_of([_row(event_id="e1"), _row(event_id="e2"), _row(event_id="e2")])
    once = append_sequences(tmp_path / "a", day, tmp_path / "b")
    twice = append_sequences(tmp_path / "b", day, tmp_path / "c")
    assert once.meta.action_count == 3
    assert same(once, twice)


def test_indices_of_known_ids_never_change_and_new_ones_follow(dataset_of, tmp_path):
    first = build_sequences(dataset_of([_row(user=7), _row(user=3)]), tmp_path / "a")
    second = append_sequences(first.path, dataset_of([_row(user=9), _row(user=3)]), tmp_path / "b")
    assert second.users.ids([1, 2, 3]) == [7, 3, 9]
    assert second.users.first(first.users.size).hash == first.users.hash


def test_late_actions_are_merged_into_their_place(dataset_of, tmp_path):
    build_sequences(dataset_of([_row("a", time_s=0), _row("c", time_s=9)]), tmp_path / "a")
    store = append_sequences(tmp_path / "a", dataset_of([_row("b", time_s=5)]), tmp_path / "b")
    assert store.items.ids(store.item[store.rows(1)]) == ["a", "b", "c"]


def test_a_failed_append_leaves_the_old_store_as_it_was(dataset_of, tmp_path):
    before = build_sequences(dataset_of([_row()]), tmp_path / "a").meta
    with pytest.raises(DatasetError, match="not declared"):
        append_sequences(
            tmp_path / "a", dataset_of([{**_row(), "action_type": "nope"}]), tmp_path / "a"
        )
    assert SequenceStore.open(tmp_path / "a").meta == before
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith((".", "a"))) == ["a"]


def test_an_empty_day_changes_nothing(dataset_of, tmp_path):
    first = build_sequences(dataset_of([_row()]), tmp_path / "a")
    assert same(append_sequences(first.path, dataset_of([]), tmp_path / "b"), first)


def test_appending_to_no_store_names_the_step_that_makes_one(dataset_of, tmp_path):
    with pytest.raises(ArtifactError, match="run the sequences step"):
        append_sequences(tmp_path / "none", dataset_of([_row()]), tmp_path / "b")


def test_ids_of_another_kind_are_other_ids(dataset_of, tmp_path):
    from homefeed.data.contract import DatasetSpec, write_dataset

    first = build_sequences(dataset_of([_row(user=7)]), tmp_path / "a")
    frame = pl.DataFrame(
        {"user_id": ["7"], "item_id": ["a"], "action_type": ["like"], "timestamp": [START_S * 1000]}
    )
    day = write_dataset(
        tmp_path / "texts", DatasetSpec(name="t", files={}, positive=("like",)), {"actions": frame}
    )
    second = append_sequences(first.path, day, tmp_path / "b")
    assert second.users.ids([1, 2]) == [7, "7"]


def _row(item: str = "a", user: int = 1, time_s: float = 0, **more) -> dict:
    return {
        "user_id": user,
        "item_id": item,
        "action_type": "like",
        "timestamp": START_S * 1000 + round(1000 * time_s),
        "time_known": True,
        **more,
    }
