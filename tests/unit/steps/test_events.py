"""One day of the event log: which actions it takes, and how far the log is inside afterwards."""

from contextlib import closing

import polars as pl
import pytest

from homefeed.config import ChecksConfig
from homefeed.data.checks import check
from homefeed.data.contract import Dataset, DatasetSpec, write_dataset
from homefeed.data.item_stats import LABEL_LAG_S
from homefeed.data.sequences import SequenceStore, append_sequences, build_sequences
from homefeed.errors import ArtifactError, DatasetError
from homefeed.steps.events import event_log_day, event_log_days
from homefeed.steps.sequences import write_sequences
from serving.event_log import EventLog
from serving.logged import Action, Exposure
from serving.sequence import PastAction, merge

DAY_S = 86_400
FIRST_S = 20_000 * DAY_S  # the midnight that ends the base's last day
HOUR_S = 3_600


def _base(folder, user=1, item=10, label="like") -> Dataset:
    spec = DatasetSpec(name="shop", files={}, positive=("like",), labels=(label,))
    seen = {"user_id": [user], "item_id": [item], "timestamp": [(FIRST_S - 9) * 1000]}
    actions = pl.DataFrame({**seen, "action_type": ["like"]})
    shown = pl.DataFrame({**seen, "request_id": ["r0"], "position": [1], label: [0]})
    return write_dataset(folder, spec, {"actions": actions, "impressions": shown})


def _post(
    log, item, time_s, *, arrived_s=None, user="i:1", duration_s=0.0, request=None, surface=""
) -> int:
    """Post one action; returns its number."""
    ended_s = time_s + duration_s
    action = Action(
        event_id=f"{item} {time_s}",
        user_id=user,
        item_id=item,
        action_type="like",
        time_ms=round(time_s * 1000),
        duration_s=duration_s,
        surface=surface,
        request_id=request,
        arrived_ms=round((ended_s if arrived_s is None else arrived_s) * 1000),
    )
    (appended,) = log.append([action])
    return appended.seq


@pytest.fixture
def log(tmp_path):
    folder = tmp_path / "50%20 C# what?"  # all of these mean something else in a URI
    with closing(EventLog(folder / "events.db")) as opened:
        yield opened


@pytest.fixture
def take(log, tmp_path):
    """Take the day that begins at ``from_s``; returns its items and the watermark."""

    def run(from_s=FIRST_S, base=None):
        base = _base(tmp_path / "base") if base is None else base
        out = tmp_path / f"day {from_s}"
        day, watermark = event_log_day(log.path, base, from_s, from_s + DAY_S, out)
        return day, watermark

    return run


def _items(day: Dataset) -> list:
    return day.scan("actions").collect()["item_id"].to_list()


def test_the_watermark_stands_before_the_first_action_that_the_row_cannot_hold(log, take):
    day_end_s = FIRST_S + DAY_S
    held = _post(log, "i:11", FIRST_S + HOUR_S)
    _post(log, "i:12", day_end_s + HOUR_S)  # the next day, before this one was taken
    _post(log, "i:13", day_end_s - HOUR_S, arrived_s=day_end_s + 2 * HOUR_S)
    assert take()[1] == held


@pytest.mark.parametrize(
    "late",
    [
        {"time_s": FIRST_S + DAY_S - 60, "arrived_s": FIRST_S + DAY_S + 1},
        {"time_s": FIRST_S + DAY_S - 60, "duration_s": 90.0},
        {"time_s": FIRST_S + DAY_S - 60, "arrived_s": FIRST_S + DAY_S - 5},  # the store has minutes
    ],
)
def test_an_action_that_was_not_available_at_the_days_end_is_left_to_the_log(log, take, late):
    held = _post(log, "i:11", FIRST_S + HOUR_S)
    _post(log, "i:12", **late)
    _post(log, "i:13", FIRST_S + 2 * HOUR_S)
    day, watermark = take()
    assert (_items(day), watermark) == ([11, 12, 13], held)


def test_where_the_row_holds_every_action_the_watermark_is_the_newest_number(log, take):
    _post(log, "i:11", FIRST_S + HOUR_S)
    newest = _post(log, "i:12", FIRST_S + 2 * HOUR_S)
    assert take()[1] == newest


def test_an_action_by_a_clock_ahead_of_the_servers_arrived_when_it_happened(log, take, tmp_path):
    _post(log, "i:11", FIRST_S + HOUR_S, arrived_s=FIRST_S + HOUR_S - 0.3)
    day, _ = take()
    known = _base(tmp_path / "known")
    report = check(day, tmp_path / "checked", ChecksConfig(), FIRST_S + DAY_S, known_items=[known])
    assert report.tables["actions"].kept == 1


def test_more_surfaces_than_the_store_can_tell_are_read_as_none(log, take, tmp_path, capsys):
    for number in range(300):
        _post(log, "i:11", FIRST_S + number, surface=f"/page/{number}")
    for number in range(2):
        _post(log, "i:12", FIRST_S + HOUR_S + number, surface="home")
    day, _ = take()
    assert "46 surfaces that were posted are read as none" in capsys.readouterr().out
    surfaces = day.scan("actions").collect()["surface"]
    assert surfaces.n_unique() == 256  # with "" for none
    assert surfaces.to_list().count("home") == 2
    build_sequences(day, tmp_path / "fits")


def test_labels_that_no_action_type_tells_leave_out_what_was_shown(log, take, tmp_path, capsys):
    _show(log, "r1", FIRST_S + HOUR_S, "i:11")
    _post(log, "i:11", FIRST_S + HOUR_S + 5, request="r1")
    day, _ = take(base=_base(tmp_path / "clicked", label="liked"))
    assert not day.has("impressions")
    assert "no action type is named like the label liked" in capsys.readouterr().out


def test_between_row_and_log_every_action_counts_once(log, tmp_path):
    """Two days taken two hours after their ends, with late, long and overlapping actions."""
    store_path = build_sequences(base := _base(tmp_path / "base"), tmp_path / "store 0").path
    posted = [("i:10", FIRST_S - 9)]

    def post(item, time_s, **how):
        _post(log, item, time_s, **how)
        posted.append((item, time_s))

    for number in range(2):
        from_s = FIRST_S + number * DAY_S
        end_s = from_s + DAY_S
        post(f"i:{number + 1}1", from_s + 3 * HOUR_S)
        post(f"i:{number + 1}2", end_s - 30, duration_s=100.0)
        post(f"i:{number + 1}3", end_s + HOUR_S)
        post(f"i:{number + 1}4", end_s - HOUR_S, arrived_s=end_s + HOUR_S)
        day, watermark = event_log_day(log.path, base, from_s, end_s, tmp_path / f"day {number}")
        # it arrives when its own day was published already
        post(f"i:{number + 1}5", from_s + 4 * HOUR_S, arrived_s=end_s + 3 * HOUR_S)
        store = append_sequences(store_path, day, tmp_path / f"store {number + 1}")
        store_path = store.path
        row = _row(store, day, end_s, tmp_path)
        request_ms = (end_s + 5 * HOUR_S) * 1000
        merged = merge(row, watermark, log.actions_of("i:1"), request_ms=request_ms, length=100)
        told = [(action.item_id, action.time_ms // 1000) for action in merged]
        assert told == sorted(posted, key=lambda each: each[1])


def _row(store: SequenceStore, day: Dataset, as_of_s: int, folder) -> list[PastAction]:
    write_sequences(folder / "row.parquet", store, day, as_of_s)
    (found,) = pl.read_parquet(folder / "row.parquet").to_dicts()
    columns = zip(found["item_ids"], found["times_s"], found["durations_s"], strict=True)
    row = [PastAction(item, "like", "", time_s * 1000, long) for item, time_s, long in columns]
    return row[::-1]


def test_an_action_that_arrives_after_its_day_was_taken_is_taken_with_the_day_it_arrives(
    log, take, capsys
):
    _post(log, "i:11", FIRST_S + HOUR_S)
    assert _items(take()[0]) == [11]
    next_s = FIRST_S + DAY_S
    _post(log, "i:12", FIRST_S + 2 * HOUR_S, arrived_s=next_s + 3 * HOUR_S)
    _post(log, "i:13", next_s + 4 * HOUR_S)
    day, _ = take(next_s)
    assert _items(day) == [12, 13]
    assert day.spec.span == (FIRST_S + 2 * HOUR_S, next_s + DAY_S)  # or the check sets it aside
    assert "1 actions of earlier days arrived on this one" in capsys.readouterr().out


def test_an_action_that_comes_later_than_the_store_can_tell_is_counted_and_left_out(
    log, take, capsys
):
    _post(log, "i:11", FIRST_S - 50 * DAY_S, arrived_s=FIRST_S + HOUR_S)
    _post(log, "i:12", FIRST_S + HOUR_S)
    assert _items(take()[0]) == [12]
    assert "1 actions left out" in capsys.readouterr().out


def test_ids_of_another_type_than_the_logs_are_counted_and_left_out(log, take, capsys):
    _post(log, "i:11", FIRST_S + HOUR_S)
    _post(log, "i:12", FIRST_S + HOUR_S, user="s:17")
    _post(log, "s:x", FIRST_S + HOUR_S)
    for user in ("i:1", "s:17"):
        shown = (("i:11", 0.5, "near"), ("i:12", 0.4, "near"))
        of_user = {"request_id": user, "endpoint": "feed", "user_id": user, "items": shown}
        log.append(exposures=[Exposure(**of_user, time_ms=(FIRST_S + HOUR_S) * 1000)])
    day, _ = take()
    assert _items(day) == [11]
    impressions = day.scan("impressions").collect()
    assert impressions["user_id"].to_list() == [1, 1]
    said = capsys.readouterr().out
    assert "2 actions left out: their ids are of another type than user_id Int64" in said
    assert "2 impressions left out" in said


def test_a_day_whose_actions_name_no_request_has_impressions_without_answers(log, take):
    _post(log, "i:11", FIRST_S + HOUR_S)
    shown = {"request_id": "r", "endpoint": "feed", "user_id": "i:1", "items": (("i:11", 1.0, ""),)}
    log.append(exposures=[Exposure(**shown, time_ms=(FIRST_S + HOUR_S) * 1000)])
    impressions = take()[0].scan("impressions").collect()
    assert impressions.select("item_id", "like").rows() == [(11, 0)]


def _show(log, request, time_s, *items):
    shown = tuple((item, 1.0, "") for item in items)
    of_user = {"request_id": request, "endpoint": "feed", "user_id": "i:1", "items": shown}
    log.append(exposures=[Exposure(**of_user, time_ms=round(time_s * 1000))])


def _labels(day: Dataset) -> dict:
    return dict(day.scan("impressions").collect().select("item_id", "like").iter_rows())


def test_an_action_after_midnight_labels_what_was_shown_before_it(log, take):
    end_s = FIRST_S + DAY_S
    _post(log, "i:9", FIRST_S + HOUR_S)
    _show(log, "evening", end_s - 60, "i:11", "i:12")
    _show(log, "night", end_s + 60, "i:13")
    _post(log, "i:11", end_s + 90, request="evening")
    _post(log, "i:13", end_s + 91, request="night")
    _post(log, "i:12", end_s + 92, request="evening", user="i:2")  # the request was not theirs
    day, _ = take()
    assert _items(day) == [9]  # the action itself is of the next day
    assert _labels(day) == {11: 1, 12: 0}
    assert _labels(take(end_s)[0]) == {13: 1}


def test_a_late_arrival_labels_what_was_shown_as_long_as_the_log_was_not_read(log, take):
    end_s = FIRST_S + DAY_S
    _show(log, "noon", FIRST_S + 12 * HOUR_S, "i:11", "i:12")
    _post(log, "i:11", FIRST_S + 13 * HOUR_S, arrived_s=end_s + 5 * HOUR_S, request="noon")
    assert _labels(take()[0]) == {11: 1, 12: 0}


def test_an_action_of_the_next_day_that_comes_after_the_labels_settled_is_no_label(log, take):
    end_s = FIRST_S + DAY_S
    _post(log, "i:9", FIRST_S + HOUR_S)
    _show(log, "evening", end_s - 60, "i:11", "i:12")
    _post(log, "i:11", end_s - 61 + LABEL_LAG_S, request="evening")
    _post(log, "i:12", end_s - 60 + LABEL_LAG_S, request="evening")
    assert _labels(take()[0]) == {11: 1, 12: 0}


def test_a_log_of_texts_takes_no_integers(log, take, tmp_path):
    _post(log, "s:x", FIRST_S + HOUR_S, user="s:ü:1")
    _post(log, "s:y", FIRST_S + HOUR_S, user="i:17")
    actions = take(base=_base(tmp_path / "texts", user="a", item="b"))[0].scan("actions").collect()
    assert actions.select("user_id", "item_id").rows() == [("ü:1", "x")]


@pytest.mark.parametrize("user", [None, "s:17"])
def test_a_day_on_which_nobody_of_the_log_acted_is_one_clear_error(log, take, user):
    if user:
        _post(log, "i:11", FIRST_S + HOUR_S, user=user)
    with pytest.raises(DatasetError, match=r"holds no action on 2024-\d\d-\d\d; give another"):
        take()


def test_a_damaged_log_is_named_with_what_to_do(log, take, tmp_path):
    _post(log, "i:11", FIRST_S + HOUR_S)
    log.close()
    log.path.write_bytes(b"no database at all" * 100)
    told = r"events\.db cannot be read \(.*\); .* put a copy"
    with pytest.raises(ArtifactError, match=told):
        take()
    with pytest.raises(ArtifactError, match=told):  # so it is where no day was named
        next(event_log_days(log.path, _base(tmp_path / "base"), FIRST_S))
