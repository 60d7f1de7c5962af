"""The steps on data: what they open, and what they say of the actions that take no part."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from homefeed.artifacts import write_json
from homefeed.config import Config, StorageConfig
from homefeed.data.contract import Dataset, DatasetSpec, write_dataset
from homefeed.data.sequences import build_sequences
from homefeed.data.specification import write_spec
from homefeed.recipes import config_json, recipe, section_json
from homefeed.report.piece import Figure, read_piece
from homefeed.steps.daily import append_step
from homefeed.steps.data import check_step, open_dataset, sequences_step

DAY_S = 86_400
TIME_MS = 1_700_000_000_000


def _log(folder: Path, late_days: list[int]) -> Dataset:
    times = [TIME_MS + 1000 * number for number in range(len(late_days))]
    arrived = [time + 1000 * DAY_S * days for time, days in zip(times, late_days, strict=True)]
    rows = {"user_id": 1, "item_id": 7, "action_type": "like", "timestamp": times}
    frame = pl.DataFrame({**rows, "arrived_at": arrived})
    spec = DatasetSpec(name="shop", files={}, positive=("like",))
    return write_dataset(folder, spec, {"actions": frame})


def _figures(tmp_path: Path, data: Dataset) -> list[Figure]:
    sequences_step(data.root, "tiny", tmp_path / "store", tmp_path / "piece.json")
    return read_piece(tmp_path / "piece.json").figures


def test_actions_that_came_too_late_for_any_request_are_told_with_what_to_do(tmp_path, capsys):
    actions, too_late = _figures(tmp_path, _log(tmp_path / "log", [0, 44, 46, 300]))
    assert actions.value.startswith("4 of 1 users")
    assert (too_late.name, too_late.value) == ("too late", "2 actions")
    assert "over 45 days" in too_late.note
    assert "leave the column out" in too_late.note
    assert "= too late: 2 actions" in capsys.readouterr().out


def test_removed_duplicates_are_told_with_those_that_named_another_request(tmp_path):
    rows = {"user_id": 1, "item_id": [7, 7, 7, 7, 8], "action_type": "like", "timestamp": TIME_MS}
    frame = pl.DataFrame({**rows, "request_id": ["a", "b", "b", None, "a"]})
    spec = DatasetSpec(name="shop", files={}, positive=("like",))
    data = write_dataset(tmp_path / "log", spec, {"actions": frame})
    actions, removed = _figures(tmp_path, data)
    assert actions.value.startswith("2 of 1 users")
    assert (removed.name, removed.value) == ("duplicates removed", "3 rows")
    assert removed.note.startswith("2 of them ")


def test_a_log_whose_actions_all_count_says_nothing_more_than_its_size(tmp_path):
    assert [figure.name for figure in _figures(tmp_path, _log(tmp_path / "log", [0, 44]))] == [
        "actions"
    ]


def test_a_day_tells_of_its_own_actions_that_came_too_late(tmp_path, capsys):
    base = _log(tmp_path / "base", [46])
    build_sequences(base, tmp_path / "store")
    day = tmp_path / "step"
    _log(day / "day", [1, 50, 2])
    place = {"checked": str(base.root), "store": str(tmp_path / "store")}
    write_json(day / "day.json", {"ends_s": TIME_MS // 1000, "base": place})
    append_step(day, tmp_path / "appended")
    assert "= too late: 1 actions" in capsys.readouterr().out


@pytest.mark.parametrize("live", [True, False])
def test_a_copy_of_a_simulated_world_is_checked_as_a_recorded_log(tmp_path, capsys, live):
    made = _log(tmp_path / "copy", [0, 0, 0])
    write_spec(made.root / "dataset.yaml", replace(made.spec, live=live))
    config = config_json(Config(storage=StorageConfig(root=str(tmp_path / "workspace"))))
    check_step(str(made.root), "tiny", config, tmp_path / "checked", tmp_path / "piece.json")
    checked = Dataset.open(tmp_path / "checked")
    assert not checked.spec.live
    assert checked.scan("actions").collect().height == 3
    assert ("taken as a recorded log" in capsys.readouterr().out) is live


def test_the_world_that_is_asked_for_by_name_is_live(tmp_path):
    world = section_json(recipe("tiny", ("world.users=20", "world.items=50")), "world")
    assert open_dataset("world", world, tmp_path).spec.live
