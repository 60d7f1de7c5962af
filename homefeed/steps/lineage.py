"""Where a workspace stands: which data and store each day ended with.

``lineage/<log>/<YYYY-MM-DD>.json`` is written when that day of that log was published; the folder
beside it holds the day's data set and store, so that no run's own artifacts are needed later. A
daily run starts from the newest day before its own, so a bad day is repaired by running it again
(and the days after it). It goes on with the champion's log, whatever other logs were run beside it.
"""

import re
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

from filelock import FileLock

from homefeed.artifacts import copy_folder, read_json, write_json, writing
from homefeed.clock import DAY_S
from homefeed.data.contract import Dataset
from homefeed.data.sequences import SequenceStore
from homefeed.errors import PipelineError
from homefeed.recipes import read_config
from homefeed.release.registry import ReleaseRegistry

FOLDER = "lineage"
KEPT_DAYS = 8  # of each log: a week can be repaired, and its first day needs the one before
CHECKED, STORE = "checked", "store"
LOCK_TIMEOUT_S = 600.0  # another run may be copying a day to another disk


@dataclass(frozen=True, kw_only=True)
class Day:
    """What a published day left: everything before ``as_of_s`` is inside."""

    log: str  # which log this is a day of: ``log_name``
    as_of_s: int  # the midnight that ended it, or the end of the log
    checked: str  # data set folder
    store: str  # sequence store folder
    watermark: int = 0  # event log's sequence number up to which it is inside


def log_name(checked: Path, store: SequenceStore) -> str:
    """Which log this is. A growing log keeps its name; each world is a log of its own."""
    spec = Dataset.open(checked).spec
    return f"{spec.name} {store.meta.dataset_fingerprint[:8]}" if spec.live else spec.name


def name_of(as_of_s: int) -> str:
    """The day, in UTC, that ends at ``as_of_s``."""
    return datetime.fromtimestamp(as_of_s - 1, UTC).strftime("%Y-%m-%d")


def moment_of(as_of_s: int) -> str:
    """The moment itself, as people read it: the midnight that ends a day, say."""
    return f"{datetime.fromtimestamp(as_of_s, UTC):%Y-%m-%d %H:%M} UTC"


def end_of(day: str) -> int:
    """The midnight UTC that ends ``YYYY-MM-DD``; PipelineError for anything else."""
    try:
        parsed = date.fromisoformat(day)
    except ValueError:
        raise PipelineError(f"--date needs a day such as 2025-03-01, found {day!r}") from None
    return int(datetime(parsed.year, parsed.month, parsed.day, tzinfo=UTC).timestamp()) + DAY_S


def put_day(
    out: Path, *, log: str, as_of_s: int, checked: Path, store: Path, watermark: int = 0
) -> None:
    """Put a day that is to be published into the snapshots folder ``out``, its data included."""
    copy_folder(checked, out / CHECKED)
    copy_folder(store, out / STORE)
    day = Day(log=log, as_of_s=as_of_s, checked=CHECKED, store=STORE, watermark=watermark)
    write_json(out / "lineage.json", asdict(day))


def day_in(snapshots: Path) -> Day:
    """The day that ``put_day`` put into a snapshots folder."""
    return _read_day(snapshots / "lineage.json", snapshots)


def write_day(workspace: Path, day: Day) -> None:
    """Remember that this day was published; what lies in the workspace may move with it."""
    root = Path(workspace).resolve()
    places = {"checked": _inside(root, day.checked), "store": _inside(root, day.store)}
    write_json(_place(root, day).with_suffix(".json"), asdict(replace(day, **places)))


def remember(snapshots: Path, config: str) -> None:
    """Keep the day that a snapshots folder was just published for; forget the oldest ones."""
    workspace, day = read_config(config).workspace.resolve(), day_in(snapshots)
    place = _place(workspace, day)
    with _one_at_a_time(workspace, day.log):
        with writing(place) as beside:
            copy_folder(Path(day.checked), beside / CHECKED)
            copy_folder(Path(day.store), beside / STORE)
        write_day(workspace, replace(day, checked=str(place / CHECKED), store=str(place / STORE)))
        known = sorted(_days(workspace, day.log), key=lambda each: each.as_of_s)
        old = [each for each in known[:-KEPT_DAYS] if each.as_of_s != day.as_of_s]
        _forget(workspace, day.log, old)


def forget_later(workspace: Path, published: Day) -> None:
    """Remove the days of the log after ``published``: the log went back to where that one ends."""
    with _one_at_a_time(workspace, published.log):
        known = _days(workspace, published.log)
        later = [day for day in known if day.as_of_s > published.as_of_s]
        _forget(workspace, published.log, later)


def _forget(workspace: Path, log: str, days: Iterable[Day]) -> None:
    """Remove days of a log, and whatever folder no day names: a run that was killed left it.

    The lock is held: a day's folder is there before its name is.
    """
    for day in days:
        _place(workspace, day).with_suffix(".json").unlink()  # first: a day that is named is whole
    for path in _folder(workspace, log).iterdir():
        if path.is_dir() and not path.with_suffix(".json").exists():
            shutil.rmtree(path, ignore_errors=True)


def _one_at_a_time(workspace: Path, log: str) -> FileLock:
    """Held while a day of the log is remembered or forgotten: one that is being written is kept."""
    folder = _folder(workspace, log)
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder.with_name(f".{folder.name}.lock"), timeout=LOCK_TIMEOUT_S)


def champions_log(workspace: Path) -> str:
    """The log that the champion was made from. PipelineError where there is no champion."""
    registry = ReleaseRegistry(workspace)
    champion = registry.champion()
    if champion is None:
        raise PipelineError("no release is live; run `homefeed run` or `homefeed promote` first")
    return registry.ledger.manifest(champion).dataset


def newest_day(workspace: Path, log: str, before_s: int | None = None) -> Day:
    """The log's newest published day that ended by ``before_s``. PipelineError without one."""
    known = _days(workspace, log)
    usable = [day for day in known if before_s is None or day.as_of_s <= before_s]
    if not usable:
        raise PipelineError(
            f"no published day of the log `{log}` in {workspace} to go on from; run `homefeed "
            "pipeline run ranking` on that log first"
        )
    return max(usable, key=lambda day: day.as_of_s)


def _days(workspace: Path, log: str) -> list[Day]:
    root = Path(workspace).resolve()
    return [_read_day(path, root) for path in _folder(root, log).glob("[!.]*.json")]


def _read_day(path: Path, root: Path) -> Day:
    day = Day(**read_json(path))
    # An absolute path stands for itself.
    return replace(day, checked=str(root / day.checked), store=str(root / day.store))


def _inside(root: Path, path: str) -> str:
    return str(Path(path).relative_to(root)) if Path(path).is_relative_to(root) else path


def _place(workspace: Path, day: Day) -> Path:
    return _folder(workspace, day.log) / name_of(day.as_of_s)


def _folder(workspace: Path, log: str) -> Path:
    # A data set's name may hold dots, and they stay: `shop.de` is not `shop-de`.
    return Path(workspace) / FOLDER / re.sub(r"[^\w.-]+", "-", log)
