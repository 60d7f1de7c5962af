"""Which day a daily run takes, and from where: the event log, or a folder that holds it.

No day is passed over: what happened on it would be in no later one.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from homefeed.clock import DAY_S, WallClock
from homefeed.data.contract import Dataset, resolve
from homefeed.data.day import days_with_actions, write_day_of
from homefeed.data.specification import FILE_NAME
from homefeed.errors import DatasetError, PipelineError
from homefeed.schema import ACTIONS, EVENT_LOG_FILE, IMPRESSIONS, TIMESTAMP
from homefeed.steps.events import event_log_day, event_log_days
from homefeed.steps.lineage import Day, champions_log, end_of, name_of, newest_day

EVENT_LOG = "events"  # --data events: the day as the server logged it
NAMED_DAYS = 3  # of those that were passed over, in an error


class DaySource(Protocol):
    """Where days come from."""

    data: str  # as it was given

    def first_after(self, known: Dataset, from_s: int) -> int | None:
        """The end of the first day from ``from_s`` on that has actions; None without one."""

    def between(self, known: Dataset, from_s: int, to_s: int) -> list[int]:
        """The ends of the days whose actions only a run for those days would take."""

    def take(self, known: Dataset, ends_s: int, out: Path) -> tuple[Dataset, int | None]:
        """The day's rows at ``out``, and the event log's watermark where they come from it."""


@dataclass(frozen=True)
class EventLogDays:
    """Days as the server logged them."""

    data: str
    log: Path

    def first_after(self, known: Dataset, from_s: int) -> int | None:
        """See ``DaySource``."""
        return next(event_log_days(self.log, known, from_s), None)

    def between(self, known: Dataset, from_s: int, to_s: int) -> list[int]:
        """See ``DaySource``."""
        return list(event_log_days(self.log, known, from_s, to_s))

    def take(self, known: Dataset, ends_s: int, out: Path) -> tuple[Dataset, int | None]:
        """See ``DaySource``."""
        return event_log_day(self.log, known, ends_s - DAY_S, ends_s, out)


@dataclass(frozen=True)
class FolderDays:
    """Days of a data set."""

    data: str
    dataset: Dataset

    def first_after(self, known: Dataset, from_s: int) -> int | None:
        """See ``DaySource``."""
        starts_ms = days_with_actions(self.dataset, from_s * 1000)
        return starts_ms[0] // 1000 + DAY_S if starts_ms else None

    def between(self, known: Dataset, from_s: int, to_s: int) -> list[int]:
        """See ``DaySource``."""
        starts_ms = days_with_actions(self.dataset, from_s * 1000, to_s * 1000)
        return [start_ms // 1000 + DAY_S for start_ms in starts_ms]

    def take(self, known: Dataset, ends_s: int, out: Path) -> tuple[Dataset, int | None]:
        """See ``DaySource``."""
        _require_same_meaning(self.dataset, known)
        from_ms = (ends_s - DAY_S) * 1000
        day, actions = write_day_of(self.dataset, known, from_ms, ends_s * 1000, out)
        if not actions:
            raise PipelineError(
                f"{self.data} holds no action on {name_of(ends_s)}; give another --date"
            )
        times_ms = day.scan(ACTIONS).select(pl.col(TIMESTAMP))
        if late := times_ms.filter(pl.col(TIMESTAMP) < from_ms).collect().height:
            print(f"= {late:,} actions of earlier days arrived on this one")
        return day, None


def _require_same_meaning(folder: Dataset, known: Dataset) -> None:
    """DatasetError where a day's dataset.yaml reads actions or labels otherwise than the log's."""
    for key in ("positive", "negative", "labels", "surfaces", "min_duration_s"):
        wanted, found = (_plain(getattr(each.spec, key)) for each in (known, folder))
        if found != wanted and not (key == "labels" and not folder.has(IMPRESSIONS)):
            raise DatasetError(
                f"{folder.root / FILE_NAME}: `{key}` is {found}, and {wanted} in the log that the "
                f"day extends ({known.root}); declare the same, or fit on a new log"
            )


def _plain(value: Any) -> Any:
    """What a key of dataset.yaml says, whatever the order."""
    return dict(value) if isinstance(value, Mapping) else sorted(value)


def day_to_take(data: str, date: str, workspace: Path) -> tuple[DaySource, Day, int]:
    """Where the day comes from, the published day that it goes on from, and when it ends.

    ``date`` is the day, or empty: the first one with actions after the newest published day.
    Raises PipelineError for a day that is not over, where there is nothing new, and where actions
    of days before the wanted one were never taken.
    """
    log = champions_log(workspace)
    base = newest_day(workspace, log, end_of(date) - DAY_S if date else None)
    known = Dataset.open(Path(base.checked))
    if date:
        _require_over(known, end_of(date))  # before a folder is looked through
    source = _source(data, workspace)
    ends_s = end_of(date) if date else _first_after(source, known, base)
    _require_over(known, ends_s)
    _require_nothing_between(source, known, base, ends_s)
    return source, base, ends_s


def _source(data: str, workspace: Path) -> DaySource:
    if data == EVENT_LOG:
        return EventLogDays(data, workspace / EVENT_LOG_FILE)
    return FolderDays(data, resolve(data, workspace))


def _first_after(source: DaySource, known: Dataset, newest: Day) -> int:
    """The end of the first day to take; days on which nobody acted need no snapshot."""
    found_s = source.first_after(known, newest.as_of_s)
    if found_s is not None:
        return found_s
    until = name_of(newest.as_of_s)
    raise PipelineError(
        f"nothing new: `{source.data}` holds no action after {until}, the newest published day of "
        f"`{newest.log}`; run it again once somebody acted, or repair a day with --date"
    )


def _require_over(known: Dataset, ends_s: int) -> None:
    """PipelineError for a day that still goes on: what it publishes is as of its end.

    A simulated world has no such day: its clock is its own, and its log is written a day at once.
    """
    now_s = WallClock().now_s()
    if known.spec.live or ends_s <= now_s:
        return
    ends, now = (f"{datetime.fromtimestamp(s, UTC):%Y-%m-%d %H:%M}" for s in (ends_s, now_s))
    raise PipelineError(
        f"{name_of(ends_s)} is not over: it ends at {ends} UTC, now it is {now} UTC; "
        "run it after that, or give an earlier --date"
    )


def _require_nothing_between(source: DaySource, known: Dataset, base: Day, ends_s: int) -> None:
    """PipelineError where actions lie between the base day and the wanted one.

    The wanted day would not hold them, and what is published with it says that it does.
    """
    starts_s = ends_s - DAY_S
    missing = source.between(known, base.as_of_s, starts_s) if base.as_of_s < starts_s else []
    if not missing:
        return
    named = [name_of(each) for each in missing[:NAMED_DAYS]]
    more = f" and {len(missing) - NAMED_DAYS:,} later days" if len(missing) > NAMED_DAYS else ""
    command = f"homefeed pipeline run daily --data {shlex.quote(source.data)} --date {named[0]}"
    raise PipelineError(
        f"`{source.data}` holds actions of {', '.join(named)}{more}, which would be lost: the "
        f"newest published day before {name_of(ends_s)} is {name_of(base.as_of_s)}; take those "
        f"days first, each in its turn: {command}"
    )
