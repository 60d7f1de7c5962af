"""The first step of a day: which days are taken, and what is left of one that is refused."""

import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from homefeed.artifacts import write_json
from homefeed.clock import DAY_S, SimulatedClock
from homefeed.config import Config, StorageConfig
from homefeed.data.contract import Dataset, DatasetSpec, write_dataset
from homefeed.data.sequences import SequenceStore, build_sequences
from homefeed.errors import CheckRefused, PipelineError
from homefeed.recipes import config_json
from homefeed.steps import daily, days
from homefeed.steps.lineage import Day, write_day

TODAY_S = int(time.time()) // DAY_S * DAY_S  # the midnight that began this day


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is noon of the day on which this file was read: the tests may run across midnight."""
    monkeypatch.setattr(days, "WallClock", lambda: SimulatedClock(TODAY_S + DAY_S / 2))


def _log(folder: Path, times_s: list[int], kind: str = "like", *, live: bool = False):
    rows = {
        "user_id": list(range(len(times_s))),
        "item_id": [7] * len(times_s),
        "action_type": [kind] * len(times_s),
        "timestamp": [1000 * time_s for time_s in times_s],
    }
    spec = DatasetSpec(name="shop", files={}, positive=("like",), live=live)
    return write_dataset(folder, spec, {"actions": pl.DataFrame(rows)})


@pytest.fixture
def check_day(tmp_path, workspace, registry, make_manifest):
    """Check the day that follows the newest published one, which ended at ``ended_s``."""
    registry.promote(registry.register(make_manifest(dataset="shop")), reason="the first")

    def run(kind: str = "like", *, ended_s: int, live: bool = False, date: str = "") -> Path:
        config = Config(storage=StorageConfig(root=str(workspace)))
        known = _log(tmp_path / "known", [ended_s - 60], live=live)
        day = Day(log="shop", as_of_s=ended_s, checked=str(known.root), store="s", watermark=41)
        write_day(config.workspace, day)
        new = _log(tmp_path / "new", [ended_s + 60, ended_s + 120], kind)
        out = tmp_path / "step" / "day"
        daily.check_day_step(str(new.root), date, config_json(config), out, tmp_path / "piece")
        return out

    return run


@pytest.mark.parametrize("ahead", [0, 1])
def test_a_day_that_is_not_over_is_not_taken(check_day, tmp_path, ahead):
    day, after = (
        f"{datetime.fromtimestamp(TODAY_S + later * DAY_S, UTC):%Y-%m-%d}"
        for later in (ahead, ahead + 1)
    )
    wanted = f"{day} is not over: it ends at {after} 00:00 UTC, now it is "
    with pytest.raises(PipelineError, match=wanted):
        check_day(ended_s=TODAY_S, date=day if ahead else "")
    assert not (tmp_path / "step" / "day").exists()


def test_a_day_is_taken_as_soon_as_it_is_over(check_day):
    described = json.loads((check_day(ended_s=TODAY_S - DAY_S) / "day.json").read_text())
    assert described["ends_s"] == TODAY_S
    assert described["base"]["watermark"] == 41  # a folder's day says nothing about the event log


def test_a_simulated_world_whose_time_is_ahead_of_ours_is_taken(check_day):
    assert (check_day(ended_s=TODAY_S + 900 * DAY_S, live=True) / "day.json").exists()


def test_the_report_of_a_refused_day_lies_where_the_error_says(check_day, tmp_path):
    with pytest.raises(CheckRefused) as refusal:
        check_day("never declared", ended_s=TODAY_S - DAY_S)
    (page,) = re.findall(r"report: (\S+)", str(refusal.value))
    kept = tmp_path / "step" / "day.refused"
    assert Path(page) == kept / "data_docs" / "index.html"
    assert Path(page).is_file()
    assert (kept / "report.json").is_file()
    assert [path.name for path in kept.parent.iterdir()] == ["day.refused"]


def test_a_day_that_was_mended_leaves_no_refusal_behind(check_day, tmp_path):
    with pytest.raises(CheckRefused):
        check_day("never declared", ended_s=TODAY_S - DAY_S)
    check_day(ended_s=TODAY_S - DAY_S)
    assert [path.name for path in (tmp_path / "step").iterdir()] == ["day"]


def test_what_a_day_tells_beyond_the_log_before_is_told_by_the_joined_log(tmp_path):
    ended_s = TODAY_S - DAY_S
    known = _log(tmp_path / "known", [ended_s - 60, ended_s - 50])
    store = build_sequences(known, tmp_path / "store").path
    late = {"arrived_at": [(ended_s + 20 * 3600) * 1000], "duration_s": [90.0]}
    rows = {"user_id": [0], "item_id": [7], "timestamp": [(ended_s + 60) * 1000]}
    actions = pl.DataFrame({**rows, "action_type": ["like"], **late})
    day = write_dataset(tmp_path / "taken" / "day", known.spec, {"actions": actions})
    base = {"checked": str(known.root), "store": str(store)}
    write_json(tmp_path / "taken" / "day.json", {"ends_s": ended_s + DAY_S, "base": base})
    daily.append_step(tmp_path / "taken", tmp_path / "appended")
    joined = Dataset.open(tmp_path / "appended" / "checked")
    assert joined.scan("actions").collect()["arrived_at"].to_list() == [
        None,
        None,
        *late["arrived_at"],
    ]
    assert day.columns("actions") == joined.columns("actions")
    again = build_sequences(joined, tmp_path / "again")
    appended = SequenceStore.open(tmp_path / "appended" / "store")
    rows = np.arange(len(again.item))
    assert again.available_s(rows).tolist() == appended.available_s(rows).tolist()
