"""The lineage of published days: each log has its own, and each day owns its data."""

import shutil
import threading
from pathlib import Path

import pytest

from homefeed.config import Config, StorageConfig
from homefeed.errors import PipelineError
from homefeed.recipes import config_json
from homefeed.steps import lineage
from homefeed.steps.lineage import (
    DAY_S,
    KEPT_DAYS,
    Day,
    day_in,
    end_of,
    forget_later,
    name_of,
    newest_day,
    put_day,
    remember,
    write_day,
)


def _day(log: str, number: int) -> Day:
    return Day(log=log, as_of_s=number * DAY_S, checked=f"/data/{number}", store="/data/store")


@pytest.fixture
def run_day(tmp_path: Path):
    """A run that publishes a day of ``shop`` whose store says ``text``; gives the run's folder."""
    config = config_json(Config(storage=StorageConfig(root=str(tmp_path / "workspace"))))

    def publish(number: int, text: str = "good") -> Path:
        run = tmp_path / "runs" / f"{number} {text}"
        for name in ("checked", "store", "snapshots"):
            (run / name).mkdir(parents=True)
            (run / name / "rows.bin").write_text(text)
        data = {"checked": run / "checked", "store": run / "store"}
        put_day(run / "snapshots", log="shop", as_of_s=number * DAY_S, watermark=number, **data)
        remember(run / "snapshots", config)
        return run

    return publish


def _text(day: Day) -> str:
    checked, store = ((Path(at) / "rows.bin").read_text() for at in (day.checked, day.store))
    assert checked == store
    return store


def test_logs_whose_names_differ_in_a_dot_are_two_logs(tmp_path):
    for day in (_day("shop.de", 5), _day("shop-de", 6)):
        write_day(tmp_path, day)
    assert newest_day(tmp_path, "shop.de") == _day("shop.de", 5)
    assert newest_day(tmp_path, "shop-de") == _day("shop-de", 6)


def test_a_log_goes_on_from_its_own_newest_day(tmp_path):
    for day in (_day("world 1a2b", 9), _day("журнал/news", 5), _day("журнал/news", 6)):
        write_day(tmp_path, day)
    assert newest_day(tmp_path, "журнал/news") == _day("журнал/news", 6)
    assert newest_day(tmp_path, "журнал/news", before_s=5 * DAY_S) == _day("журнал/news", 5)
    assert newest_day(tmp_path, "world 1a2b") == _day("world 1a2b", 9)


def test_a_log_without_a_published_day_is_one_clear_error(tmp_path):
    write_day(tmp_path, _day("world", 9))
    with pytest.raises(PipelineError, match="no published day of the log `news`"):
        newest_day(tmp_path, "news")


def test_a_published_day_needs_no_artifact_of_the_run_that_made_it(tmp_path, run_day):
    run_day(9)
    shutil.rmtree(tmp_path / "runs")
    day = newest_day(tmp_path / "workspace", "shop")
    assert (day.as_of_s, day.watermark, _text(day)) == (9 * DAY_S, 9, "good")


def test_a_day_goes_where_its_workspace_goes(tmp_path, run_day):
    run_day(9)
    (tmp_path / "workspace").rename(tmp_path / "moved")
    assert _text(newest_day(tmp_path / "moved", "shop")) == "good"


def test_a_day_shares_its_files_with_the_run_where_both_are_on_one_disk(tmp_path, run_day):
    made = run_day(9) / "store" / "rows.bin"
    assert made.samefile(Path(newest_day(tmp_path / "workspace", "shop").store) / "rows.bin")


def test_the_snapshots_folder_alone_holds_the_day(tmp_path, run_day):
    run = run_day(9)
    shutil.rmtree(run / "checked")
    shutil.rmtree(run / "store")
    (run / "snapshots").rename(tmp_path / "in another pod")
    assert _text(day_in(tmp_path / "in another pod")) == "good"


def test_a_repaired_day_starts_from_the_day_before_and_replaces_its_own_data(tmp_path, run_day):
    for number in (8, 9):
        run_day(number, "bad")
    before = newest_day(tmp_path / "workspace", "shop", before_s=8 * DAY_S)
    assert (before.as_of_s, _text(before)) == (8 * DAY_S, "bad")
    run_day(8, "repaired")
    assert _text(newest_day(tmp_path / "workspace", "shop", before_s=8 * DAY_S)) == "repaired"
    assert _text(newest_day(tmp_path / "workspace", "shop")) == "bad"


def test_only_the_newest_days_are_kept_and_the_one_that_was_just_published(tmp_path, run_day):
    kept = range(20, 20 + KEPT_DAYS)
    for number in (18, 19, *kept):
        run_day(number)

    def found() -> set[str]:
        return {path.name for path in (tmp_path / "workspace" / "lineage" / "shop").iterdir()}

    def names(numbers) -> set[str]:
        days = [name_of(number * DAY_S) for number in numbers]
        return {*days, *(f"{day}.json" for day in days)}

    assert found() == names(kept)
    run_day(3)  # `world` goes back
    assert found() == names((3, *kept))


def test_a_folder_that_a_killed_run_left_goes_with_the_next_day(tmp_path, run_day, monkeypatch):
    log = tmp_path / "workspace" / "lineage" / "shop"

    def killed(*_, **__) -> None:
        raise KeyboardInterrupt

    for number in range(20, 20 + KEPT_DAYS):
        run_day(number)
    with monkeypatch.context() as patched:
        patched.setattr(lineage.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            run_day(20 + KEPT_DAYS)  # day 20 is not named any more, and its data is there
    (log / ".2025-01-01.1a2b3c4d.partial" / "store").mkdir(parents=True)  # killed while it wrote
    assert (log / name_of(20 * DAY_S)).exists()
    assert not (log / f"{name_of(20 * DAY_S)}.json").exists()
    run_day(21 + KEPT_DAYS)
    kept = [name_of(number * DAY_S) for number in range(22, 22 + KEPT_DAYS)]
    assert sorted(path.name for path in log.iterdir() if path.is_dir()) == kept
    assert {_text(day) for day in _days_of(tmp_path)} == {"good"}


def test_a_log_that_goes_back_sweeps_too_and_keeps_the_other_logs(tmp_path, run_day):
    run_day(9)
    lineage_folder = tmp_path / "workspace" / "lineage"
    for place in ("shop/2025-01-01", "world/2025-01-01"):
        (lineage_folder / place / "store").mkdir(parents=True)
    forget_later(tmp_path / "workspace", newest_day(tmp_path / "workspace", "shop"))
    assert [path.name for path in (lineage_folder / "shop").glob("*") if path.is_dir()] == [
        name_of(9 * DAY_S)
    ]
    assert (lineage_folder / "world/2025-01-01/store").is_dir()


def test_a_day_that_is_just_being_written_is_not_swept(tmp_path, run_day, monkeypatch):
    """Its folder is there and its name is not: another day's publishing waits until it is."""
    named, second = threading.Event(), threading.Thread(target=run_day, args=(10,))
    write = lineage.write_day

    def slow(workspace: Path, day: Day) -> None:
        if day.as_of_s == 9 * DAY_S:
            second.start()
            assert not named.wait(0.3), "the other day was published meanwhile"
        write(workspace, day)
        if day.as_of_s == 10 * DAY_S:
            named.set()

    monkeypatch.setattr(lineage, "write_day", slow)
    run_day(9)
    second.join()
    assert named.is_set()
    assert [_text(day) for day in _days_of(tmp_path)] == ["good", "good"]


def _days_of(tmp_path: Path) -> list[Day]:
    workspace = tmp_path / "workspace"
    ends = [end_of(path.stem) for path in sorted((workspace / "lineage/shop").glob("*.json"))]
    return [newest_day(workspace, "shop", before_s=end_s) for end_s in ends]
