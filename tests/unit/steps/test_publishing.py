"""What the publish step says when a log was published up to a later day before."""

from pathlib import Path

import pytest

from homefeed.artifacts import write_json
from homefeed.clock import DAY_S
from homefeed.config import Config, StorageConfig
from homefeed.recipes import config_json
from homefeed.release.opened import newest_snapshot
from homefeed.report.piece import Piece, read_piece
from homefeed.steps.lineage import name_of, newest_day, put_day
from homefeed.steps.publishing import published_step

ENCODER = "0123456789abcdef"


@pytest.fixture
def publish(tmp_path):
    """Publish the log `shop` up to a day, with so many of its 10 users kept at newer rows."""
    config = config_json(Config(storage=StorageConfig(root=str(tmp_path / "workspace"))))

    def run(day: int, kept: int = 0, *, goes_back: bool = False) -> Piece:
        made = tmp_path / f"snapshots-{day}"
        if not made.exists():
            data = {name: tmp_path / name for name in ("checked", "store")}
            for folder in data.values():
                folder.mkdir(exist_ok=True)
            put_day(made, log="shop", as_of_s=day * DAY_S, **data)
        snapshot = tmp_path / "workspace" / "snapshots" / ENCODER[:8] / str(day)
        meta = {"as_of_s": day * DAY_S, "user_encoder_hash": ENCODER}
        write_json(snapshot / "snapshot.json", meta)
        listed = {"snapshots": [{"encoder_hash": ENCODER}], "goes_back": goes_back}
        write_json(made / "snapshots.json", listed)
        counts = {"users": 10, "written": 10 - kept, "kept_newer": kept, "read_back": 10 - kept}
        vectors = {"view": "vectors", "users": 10, "written": 10, "kept_newer": 0, "read_back": 10}
        published_step([vectors, {"view": "s", **counts}], made, config, tmp_path / "piece.json")
        return read_piece(tmp_path / "piece.json")

    return run


def test_a_day_after_the_last_is_published_without_a_word_of_warning(publish, capsys):
    publish(3)
    assert publish(4).figures == []
    assert publish(4).figures == []  # and again
    assert "WARNING" not in capsys.readouterr().out


def test_a_shorter_log_under_the_same_name_is_told_with_what_to_do(publish, tmp_path, capsys):
    publish(9)
    (warning,) = publish(5, kept=7).figures
    assert newest_day(tmp_path / "workspace", "shop").as_of_s == 9 * DAY_S
    assert warning.name == "WARNING"
    assert warning.value == "7 of 10 users keep newer rows than 1970-01-05"
    assert "`shop` was published up to 1970-01-09 before" in warning.note
    assert "another `name` in dataset.yaml" in warning.note
    assert f"= WARNING: {warning.value}; {warning.note}" in capsys.readouterr().out.splitlines()


def test_a_shorter_log_of_other_users_is_told_too_since_daily_goes_on_from_the_longer(publish):
    publish(9)
    (warning,) = publish(5).figures
    assert warning.value.startswith("0 of 10 users")


def test_newer_rows_that_no_published_day_explains_are_told(publish):
    (warning,) = publish(5, kept=1).figures
    assert "up to a later day before" in warning.note


def test_a_world_that_goes_back_to_the_end_of_its_log_warns_of_nothing(publish):
    publish(9)
    assert publish(5, goes_back=True).figures == []


def test_after_going_back_no_undone_day_is_gone_on_from_or_served(publish, tmp_path):
    publish(9)
    publish(5, goes_back=True)
    kept = newest_day(tmp_path / "workspace", "shop")
    assert name_of(kept.as_of_s) == "1970-01-05"
    assert Path(kept.store).is_dir()
    assert not Path(kept.store.replace("1970-01-05", "1970-01-09")).exists()
    assert newest_snapshot(tmp_path / "workspace", ENCODER).name == "5"


@pytest.mark.parametrize("damage", ["", "[]", '{"user_encoder_hash": "x"}', '{"as_of_s": "9"}'])
def test_a_damaged_snapshot_is_named_and_left_and_the_other_later_days_go(
    publish, tmp_path, capsys, damage
):
    for day in (6, 8, 9):
        publish(day)
    snapshots = tmp_path / "workspace" / "snapshots" / ENCODER[:8]
    (snapshots / "8" / "snapshot.json").write_text(damage)
    publish(5, goes_back=True)
    assert sorted(path.name for path in snapshots.iterdir()) == ["5", "8"]
    assert (snapshots / "8" / "snapshot.json").read_text() == damage
    (told,) = [line for line in capsys.readouterr().out.splitlines() if "left alone" in line]
    assert told.startswith(f"= left alone: {snapshots / '8' / 'snapshot.json'} cannot be read (")
    assert f"restore it, or remove {snapshots / '8'}" in told


def test_the_log_of_the_step_holds_what_was_written(publish, capsys):
    published = publish(5, kept=4)
    assert "= 16 rows written, 16 read back bit for bit" in capsys.readouterr().out
    assert [row["written"] for row in published.tables[0].rows] == [10, 6]
