"""Nothing in a training set may be as young as its request, however it could get there."""

import dataclasses
import math
import shutil

import numpy as np
import polars as pl
import pytest

from homefeed.data.build_training_set import (
    TrainingSetConfig,
    build_training_set,
    require_both_windows,
)
from homefeed.data.contract import Dataset, DatasetSpec, write_dataset
from homefeed.data.item_stats import ItemStats, build_item_stats
from homefeed.data.ranking_rows import EVALUATION, TRAIN
from homefeed.data.sampled_rows import CandidateSampling
from homefeed.data.sequences import SequenceStore, build_sequences
from homefeed.data.splits import Timeline
from homefeed.data.training_set import TrainingSet
from homefeed.errors import ArtifactError, DatasetError
from homefeed.report.pieces_training_set import training_set_piece

DAY_S = 86_400
SPEC = DatasetSpec(name="t", files={}, positive=("like",))
LINE = Timeline(t0_s=2 * DAY_S, t1_s=4 * DAY_S, t2_s=6 * DAY_S)


def action(user: int, item: int, time_s: float, **changes):
    row = {
        "user_id": user,
        "item_id": item,
        "action_type": "like",
        "timestamp": int(time_s * 1000),
        "surface": "home",
        "duration_s": 0.0,
        "arrived_at": None,
    }
    return row | changes


def shown(user: int, item: int, time_s: float, like: int = 0, position: int = 1):
    return {
        "request_id": f"r{user}",  # one id for all of a user's requests: time must part them
        "user_id": user,
        "item_id": item,
        "timestamp": int(time_s * 1000),
        "position": position,
        "surface": "home",
        "like": like,
    }


def made(tmp_path, actions: list, impressions: list | None, line: Timeline = LINE, **config):
    """Dataset, store, statistics and training set of a few written-out rows."""
    labels = ("like",) if impressions is not None else ()
    spec = dataclasses.replace(SPEC, labels=labels)
    types = {"arrived_at": pl.Int64, "duration_s": pl.Float32}
    tables = {"actions": pl.DataFrame(actions, schema_overrides=types)}
    if impressions is not None:
        tables["impressions"] = pl.DataFrame(impressions)
    dataset: Dataset = write_dataset(tmp_path / "data", spec, tables)
    store: SequenceStore = build_sequences(dataset, tmp_path / "store")
    created = np.full(store.meta.item_count + 1, -1, np.int64)
    stats: ItemStats = build_item_stats(dataset, store, created)
    settings = TrainingSetConfig(**config)
    training_set = build_training_set(dataset, store, stats, line, tmp_path / "set", settings)
    return dataset, store, stats, training_set


def history_items(store: SequenceStore, training_set: TrainingSet, request: int) -> list:
    positions = np.asarray(training_set.actions[request])
    return store.items.ids(store.item[positions[positions >= 0]])


NOON = 3 * DAY_S + 43_200


def test_a_label_that_shares_its_actions_time_is_no_feature_of_itself(tmp_path):
    actions = [action(1, 5, NOON - 9), action(1, 6, NOON)]
    _, store, _, training_set = made(tmp_path, actions, [shown(1, 6, NOON, like=1)])
    assert history_items(store, training_set, 0) == [5]


def test_a_late_arrival_counts_only_after_it_arrived(tmp_path):
    late = action(1, 5, NOON - 600, arrived_at=(NOON + 1) * 1000)
    requests = [shown(1, 6, NOON), shown(1, 6, NOON + 120)]
    _, store, _, training_set = made(tmp_path, [late, action(1, 7, NOON - 900)], requests)
    assert history_items(store, training_set, 0) == [7]
    assert history_items(store, training_set, 1) == [5, 7]


def test_an_action_counts_only_after_it_has_ended(tmp_path):
    watched = action(1, 5, NOON - 30, duration_s=60.0)
    requests = [shown(1, 6, NOON), shown(1, 6, NOON + 31)]
    _, store, _, training_set = made(tmp_path, [watched, action(1, 7, NOON - 900)], requests)
    assert history_items(store, training_set, 0) == [7]
    assert history_items(store, training_set, 1) == [5, 7]


def test_a_planted_future_action_never_enters_a_history(tmp_path):
    actions = [action(1, 5, NOON - 9), action(1, 8, NOON + 1), action(1, 9, NOON + 0.5)]
    _, store, _, training_set = made(tmp_path, actions, [shown(1, 6, NOON)])
    assert history_items(store, training_set, 0) == [5]


def test_a_planted_leak_is_refused_when_the_set_is_verified(tmp_path):
    actions = [action(1, 5, NOON - 9), action(1, 8, NOON + 1), action(2, 8, NOON - 50)]
    _, store, _, training_set = made(tmp_path, actions, [shown(1, 6, NOON)])
    future = store.rows(store.users.index(1)).start + 1  # of 8, after the request
    foreign = store.rows(store.users.index(2)).start
    for planted, reason in ((future, "not there yet"), (foreign, "another user")):
        folder = tmp_path / f"planted-{planted}"
        shutil.copytree(training_set.path, folder)
        leaking = np.load(folder / "actions.npy")
        leaking[0, 0] = planted
        np.save(folder / "actions.npy", leaking)
        with pytest.raises(ArtifactError, match=reason):
            TrainingSet.open(folder).verify(store)


def test_the_windows_follow_one_another_and_nothing_lies_outside(training_set, store, timeline):
    time_s, split = training_set.time_s, np.asarray(training_set.split)
    assert (
        (time_s[split == TRAIN] > timeline.t0_s) & (time_s[split == TRAIN] <= timeline.t1_s)
    ).all()
    later = time_s[split == EVALUATION]
    assert ((later > timeline.t1_s) & (later <= timeline.t2_s)).all()
    assert len(later)
    training_set.verify(store)


def test_rows_are_the_impressions_of_the_windows_with_their_labels(dataset, store, training_set):
    frame = dataset.scan("impressions").collect()
    time_s = frame["timestamp"].to_numpy() // 1000
    line = training_set.timeline
    inside = frame.filter(pl.Series((time_s > line.t0_s) & (time_s <= line.t2_s)))
    assert training_set.meta.rows == inside.height
    expected = {
        (row["user_id"], row["timestamp"], row["item_id"]): (row["like"], row["hide"])
        for row in inside.iter_rows(named=True)
    }
    request = np.asarray(training_set.request)
    user = store.users.ids(training_set.user[request])
    # Item 0 is an item without any action: it has no index and is skipped here.
    for row in np.flatnonzero(np.asarray(training_set.item) > 0):
        item = store.items.ids(training_set.item[row : row + 1])[0]
        key = (user[row], int(training_set.time_ms[request[row]]), item)
        assert expected[key] == tuple(training_set.labels[row])


def test_one_request_id_at_two_times_is_two_requests(tmp_path):
    impressions = [
        shown(1, 6, NOON, position=1),
        shown(1, 7, NOON, position=2),
        shown(1, 8, NOON + 5),
    ]
    _, _, _, training_set = made(tmp_path, [action(1, 5, NOON - 9)], impressions)
    assert training_set.request.tolist() == [0, 0, 1]


def test_statistics_come_from_earlier_days_only(tmp_path):
    impressions = [
        shown(1, 6, 2 * DAY_S + 50, like=1),
        shown(2, 6, 3 * DAY_S - 10, like=1),  # its labels settle after midnight
        shown(3, 6, NOON, like=1),
    ]
    actions = [
        action(1, 6, 2 * DAY_S + 50),
        action(2, 6, 3 * DAY_S - 10, duration_s=60.0),  # ends after midnight
        action(3, 6, NOON),
    ]
    _, store, stats, training_set = made(tmp_path, actions, impressions)
    today = dict(zip(stats.names, stats.as_of(NOON)[store.items.index(6)], strict=True))
    assert today["log_exposures"] == pytest.approx(np.log1p(1))
    assert today["log_actions"] == pytest.approx(np.log1p(1))
    tomorrow = dict(zip(stats.names, stats.as_of(4 * DAY_S)[store.items.index(6)], strict=True))
    assert tomorrow["log_exposures"] == pytest.approx(np.log1p(3))
    assert tomorrow["log_actions"] == pytest.approx(np.log1p(3))
    row = np.flatnonzero(training_set.time_s[training_set.request] == NOON)[0]
    assert training_set.stats[row].tolist() == stats.as_of(NOON)[store.items.index(6)].tolist()


def test_without_impressions_positives_stand_among_sampled_candidates(tmp_path):
    generator = np.random.default_rng(0)
    actions = [
        action(user, int(generator.integers(40)), day * DAY_S + user)
        for day in range(6)
        for user in range(1, 20)
    ]
    sampling = CandidateSampling(candidates=10, seed=3)
    _, _, stats, training_set = made(tmp_path, actions, None, sampling=sampling)
    meta = training_set.meta
    assert not meta.has_impressions
    assert not np.asarray(training_set.familiarity).any(), "a sampled candidate was never met"
    assert meta.sampling == dataclasses.asdict(sampling)
    request, item = np.asarray(training_set.request), np.asarray(training_set.item)
    positives = np.bincount(request, weights=training_set.labels[:, 0])
    assert (positives >= 1).all()
    assert (np.bincount(request) <= 11).all()
    pairs = set(zip(request.tolist(), item.tolist(), strict=True))
    assert len(pairs) == len(item)  # nothing is positive and candidate of one request at once
    drawn = "10 sampled candidates a request (50 % uniformly, the rest by popularity)"
    assert any(drawn in note for note in training_set_piece(training_set, SPEC).notes)
    column = stats.names.index("log_actions")
    for row in np.flatnonzero(training_set.labels[:, 0] == 0):
        day_start = training_set.time_s[request[row]] // DAY_S * DAY_S
        assert stats.as_of(int(day_start))[item[row], column] > 0  # met before that day


def test_a_positive_of_an_item_that_nobody_had_met_before_the_day_is_counted_and_left_out(tmp_path):
    actions = [
        action(1, 5, NOON - DAY_S),
        action(1, 5, NOON),  # met the day before
        action(2, 6, NOON - 60),  # met by nobody
        action(3, 6, NOON),  # met by another, but on this day only
        action(4, 5, NOON + 60),
        action(4, 7, NOON + 60),  # unmet, beside one that was met
    ]
    _, store, stats, found = made(tmp_path, actions, None)
    positive = np.flatnonzero(found.labels[:, 0])
    assert (found.stats[positive, stats.names.index("log_actions")] > 0).all()
    assert store.users.ids(found.user) == [1, 4]
    assert store.items.ids(found.item[positive]) == [5, 5]
    assert found.meta.unmet_positives == 4  # the first one, in t0 < t itself, among them
    assert any(note.startswith("4 positives") for note in training_set_piece(found, SPEC).notes)


def test_nothing_tells_an_item_that_will_be_acted_on_from_one_that_never_is(tmp_path):
    actions = [action(1, 5, NOON - DAY_S), action(1, 6, NOON + DAY_S)]  # 7 is only ever shown
    impressions = [shown(1, item, NOON, position=n) for n, item in enumerate((5, 6, 7))]
    _, store, stats, found = made(tmp_path, actions, impressions)
    item, told = store.items.ids(np.asarray(found.item)), np.asarray(found.stats)
    assert item == [5, 6, 7]
    assert (told[1] == told[2]).all()
    assert (told[1] != told[0]).any()
    assert (np.asarray(found.familiarity)[1:] == 0).all()
    day_before = stats.as_of(int(NOON))[store.items.index(7)]
    assert (day_before == told[2]).all()  # and serving reads the same


def test_impressions_of_an_item_that_the_store_lacks_are_refused(tmp_path):
    dataset, _, stats, _ = made(tmp_path, [action(1, 5, NOON - 9)], [shown(1, 6, NOON)])
    frame = dataset.scan("actions").select("user_id", "item_id", "action_type", "timestamp")
    bare = write_dataset(tmp_path / "bare", SPEC, {"actions": frame.collect()})
    other = build_sequences(bare, tmp_path / "bare-store")
    with pytest.raises(ArtifactError, match=r"1 impressions are of items .* the first of 6"):
        build_training_set(dataset, other, stats, LINE, tmp_path / "refused")


def test_an_empty_window_is_one_clear_error(tmp_path):
    empty = Timeline(t0_s=20 * DAY_S, t1_s=21 * DAY_S, t2_s=22 * DAY_S)
    with pytest.raises(DatasetError, match=r"no impressions from 1970-01-21 .* its own are"):
        made(tmp_path, [action(1, 5, NOON)], [shown(1, 5, NOON)], empty)
    with pytest.raises(DatasetError, match="no positive actions from 1970-01-21 00:00 to"):
        made(tmp_path / "other", [action(1, 5, NOON)], None, empty)
    with pytest.raises(DatasetError, match="none of the 1 positive actions"):
        made(tmp_path / "unmet", [action(1, 5, NOON)], None)


def test_a_training_row_knows_earlier_showings_and_actions_and_no_later_ones(tmp_path):
    day_before = NOON - 86_400
    impressions = [
        shown(1, 5, day_before),  # before t0 + a day: a request of its own, and a showing
        shown(1, 5, NOON),
        shown(1, 6, NOON),
        shown(1, 6, NOON + 60),
        shown(2, 6, NOON - 60),  # another user's
    ]
    actions = [action(1, 9, NOON - 30), action(1, 6, NOON + 10), action(2, 5, NOON - 90)]
    _, store, _, found = made(tmp_path, actions, impressions)
    item, time_s = store.items.ids(np.asarray(found.item)), found.time_s[found.request]
    user = store.users.ids(np.asarray(found.user)[found.request])
    told = {
        (u, i, t): row
        for u, i, t, row in zip(user, item, time_s, found.familiarity.tolist(), strict=True)
    }
    assert told[1, 5, day_before] == [0, 0]
    assert told[1, 5, NOON] == [0, pytest.approx(math.exp(-1 / 7))]
    assert told[1, 6, NOON] == [0, 0]  # shown and acted on at this time or later, by others before
    assert told[1, 6, NOON + 60] == [1, pytest.approx(1, abs=1e-3)]
    assert told[2, 6, NOON - 60] == [0, 0]


@pytest.mark.parametrize(
    ("times", "purpose"), [([3 * DAY_S], "judge by"), ([5 * DAY_S], "train on")]
)
def test_a_window_without_requests_is_named_with_its_setting(tmp_path, times, purpose):
    rows = [shown(1, 5, time_s) for time_s in times]
    *_, found = made(tmp_path, [action(1, 5, 0.0)], rows)
    with pytest.raises(DatasetError, match=rf"left to {purpose}: .*sequences\.evaluation_days"):
        require_both_windows(found, LINE)
