"""Which day a run takes: the first new one with actions, and none over the head of another."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from homefeed.clock import DAY_S
from homefeed.config import Config, StorageConfig
from homefeed.data.contract import Dataset, DatasetSpec, write_dataset
from homefeed.data.specification import FILE_NAME, write_spec
from homefeed.errors import DatasetError, PipelineError
from homefeed.recipes import config_json
from homefeed.steps.daily import check_day_step
from homefeed.steps.days import day_to_take
from homefeed.steps.lineage import Day, name_of, newest_day, write_day
from serving.event_log import EventLog
from serving.logged import Action

ENDED_S = 20_000 * DAY_S  # the midnight that ended the newest published day, 2024-10-03
NOON_S = DAY_S // 2
SPEC = DatasetSpec(name="shop", files={}, positive=("like",))


@pytest.fixture
def published(tmp_path, workspace, registry, make_manifest) -> Path:
    """A workspace whose log `shop` was published up to ``ENDED_S``."""
    registry.promote(registry.register(make_manifest(dataset="shop")), reason="the first")
    known = _folder(tmp_path / "known", [(ENDED_S - 60, None)])
    write_day(workspace, Day(log="shop", as_of_s=ENDED_S, checked=str(known.root), store="s"))
    return workspace


def _folder(path: Path, actions: list[tuple[int, int | None]]) -> Dataset:
    """A data set of (time, arrival) in seconds, a user each."""
    rows = {
        "user_id": list(range(len(actions))),
        "item_id": [7] * len(actions),
        "action_type": ["like"] * len(actions),
        "timestamp": [1000 * time_s for time_s, _ in actions],
        "arrived_at": [1000 * (time_s if late_s is None else late_s) for time_s, late_s in actions],
    }
    return write_dataset(path, SPEC, {"actions": pl.DataFrame(rows)})


def _post(workspace: Path, actions: list[tuple[int, int | None]], user: str = "i:1") -> None:
    with closing(EventLog(workspace / "events.db")) as log:
        for time_s, late_s in actions:
            arrived_s = time_s if late_s is None else late_s
            action = Action(
                event_id=f"{user} {time_s}",
                user_id=user,
                item_id="i:7",
                action_type="like",
                time_ms=time_s * 1000,
                duration_s=0.0,
                request_id=None,
                arrived_ms=arrived_s * 1000,
            )
            log.append([action])


@pytest.fixture(params=["events", "folder"])
def acted(request, published, tmp_path):
    """Let users act at (day after the newest published, day of arrival); returns --data."""

    def act(days: list[int], late: dict[int, int] | None = None) -> str:
        times = [(_noon(day), _noon((late or {}).get(day, day)) + 60) for day in days]
        if request.param == "events":
            _post(published, times)
            return "events"
        return str(_folder(tmp_path / "new data", times).root)

    return act


def _noon(day: int) -> int:
    """Noon of the ``day``-th day after the newest published one."""
    return ENDED_S + (day - 1) * DAY_S + NOON_S


def _name(day: int) -> str:
    return name_of(ENDED_S + day * DAY_S)


def test_a_day_is_not_taken_over_the_head_of_days_whose_actions_would_be_lost(acted, published):
    data = acted([1, 2, 5])
    with pytest.raises(PipelineError) as refusal:
        day_to_take(data, _name(5), published)
    told = str(refusal.value)
    assert f"holds actions of {_name(1)}, {_name(2)}, which would be lost" in told
    assert f"the newest published day before {_name(5)} is {_name(0)}" in told
    assert told.endswith(f" --date {_name(1)}")


def test_a_day_is_taken_after_days_on_which_nobody_acted(acted, published):
    _, base, ends_s = day_to_take(acted([3]), _name(3), published)
    assert (base.as_of_s, ends_s) == (ENDED_S, ENDED_S + 3 * DAY_S)


def test_an_action_that_arrived_on_the_wanted_day_or_later_is_not_lost(acted, published):
    data = acted([1, 2, 3], late={1: 3, 2: 4})
    assert day_to_take(data, _name(3), published)[2] == ENDED_S + 3 * DAY_S


def test_an_action_of_published_days_that_arrived_in_between_would_be_lost(acted, published):
    data = acted([0, 3], late={0: 2})
    with pytest.raises(PipelineError, match=f"holds actions of {_name(2)}, which would be lost"):
        day_to_take(data, _name(3), published)


def test_without_a_date_quiet_days_are_passed_over_and_the_next_run_goes_on_from_there(
    acted, published, tmp_path
):
    data = acted([3, 4])
    _, _, ends_s = day_to_take(data, "", published)
    assert ends_s == ENDED_S + 3 * DAY_S
    config = config_json(Config(storage=StorageConfig(root=str(published))))
    check_day_step(data, "", config, tmp_path / "step" / "day", tmp_path / "piece")
    base = newest_day(published, "shop")
    write_day(published, Day(log="shop", as_of_s=ends_s, checked=base.checked, store="s"))
    _, base, after_s = day_to_take(data, "", published)
    assert (base.as_of_s, after_s) == (ends_s, ENDED_S + 4 * DAY_S)


def test_actions_of_earlier_days_are_taken_as_they_arrive_and_counted(
    acted, published, tmp_path, capsys
):
    data = acted([0, 1], late={0: 1})
    source, base, ends_s = day_to_take(data, "", published)
    day, _ = source.take(Dataset.open(Path(base.checked)), ends_s, tmp_path / "day")
    times_ms = day.scan("actions").collect()["timestamp"].to_list()
    assert sorted(times_ms) == [1000 * _noon(0), 1000 * _noon(1)]
    assert "= 1 actions of earlier days arrived on this one" in capsys.readouterr().out


def test_where_nobody_acted_since_the_error_says_so_with_a_date(acted, published):
    with pytest.raises(PipelineError, match=f"nothing new: .* holds no action after {_name(0)}, "):
        day_to_take(acted([0]), "", published)


def test_an_action_that_no_day_would_take_makes_no_day(published):
    """An id of another type than the log's: a run for its day would find nothing."""
    _post(published, [(_noon(1), None)], user="s:anna")
    _post(published, [(_noon(2), None)])
    assert day_to_take("events", "", published)[2] == ENDED_S + 2 * DAY_S
    assert day_to_take("events", _name(2), published)[2] == ENDED_S + 2 * DAY_S


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"negative": ("hide",)}, "`negative` is .'hide'., and .. in the log that the day extends"),
        ({"min_duration_s": {"like": 5.0}}, "`min_duration_s` is {'like': 5.0}, and {} in the log"),
        ({"surfaces": ("home",)}, "`surfaces` is .'home'., and .. in the log"),
    ],
)
def test_a_day_that_means_something_else_than_its_log_is_refused(
    published, tmp_path, changed, said
):
    folder = _folder(tmp_path / "new data", [(_noon(1), None)])
    write_spec(folder.root / FILE_NAME, replace(folder.spec, **changed))
    source, _, ends_s = day_to_take(str(folder.root), _name(1), published)
    known = Dataset.open(tmp_path / "known")
    with pytest.raises(DatasetError, match=said):
        source.take(known, ends_s, tmp_path / "raw")
    write_spec(folder.root / FILE_NAME, replace(folder.spec, neutral=("view",)))
    source, _, ends_s = day_to_take(str(folder.root), _name(1), published)
    assert source.take(known, ends_s, tmp_path / "raw")[0].has("actions")
