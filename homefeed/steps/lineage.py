"""Where a workspace stands: which data and store each day ended with.

``lineage/<log>/<YYYY-MM-DD>.json`` is written when that day of that log was published. A daily run
starts from the newest day before its own, so a bad day is repaired by running it again (and the
days after it). It goes on with the champion's log, whatever other logs were run beside it.
"""

import re
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from homefeed.artifacts import read_json, write_json
from homefeed.data.contract import Dataset
from homefeed.data.sequences import SequenceStore
from homefeed.errors import PipelineError
from homefeed.recipes import read_config
from homefeed.release.registry import ReleaseRegistry

FOLDER = "lineage"
DAY_S = 86_400


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


def end_of(day: str) -> int:
    """The midnight UTC that ends ``YYYY-MM-DD``; PipelineError for anything else."""
    try:
        parsed = date.fromisoformat(day)
    except ValueError:
        raise PipelineError(f"--date needs a day such as 2025-03-01, found {day!r}") from None
    return int(datetime(parsed.year, parsed.month, parsed.day, tzinfo=UTC).timestamp()) + DAY_S


def write_day(workspace: Path, day: Day) -> None:
    """Remember that this day was published."""
    write_json(_folder(workspace, day.log) / f"{name_of(day.as_of_s)}.json", asdict(day))


def remember(snapshots: Path, config: str) -> None:
    """Remember the day that a snapshots folder was just published for."""
    write_day(read_config(config).workspace, Day(**read_json(snapshots / "lineage.json")))


def champions_log(workspace: Path) -> str:
    """The log that the champion was made from. PipelineError where there is no champion."""
    registry = ReleaseRegistry(workspace)
    champion = registry.champion()
    if champion is None:
        raise PipelineError("no release is live; run `homefeed run` or `homefeed promote` first")
    return registry.ledger.manifest(champion).dataset


def newest_day(workspace: Path, log: str, before_s: int | None = None) -> Day:
    """The log's newest published day that ended by ``before_s``. PipelineError without one."""
    found = [Day(**read_json(path)) for path in _folder(workspace, log).glob("*.json")]
    usable = [day for day in found if before_s is None or day.as_of_s <= before_s]
    if not usable:
        raise PipelineError(
            f"no published day of the log `{log}` in {workspace} to go on from; run `homefeed "
            "pipeline run ranking` on that log first"
        )
    return max(usable, key=lambda day: day.as_of_s)


def _folder(workspace: Path, log: str) -> Path:
    return Path(workspace) / FOLDER / re.sub(r"[^\w-]+", "-", log)
