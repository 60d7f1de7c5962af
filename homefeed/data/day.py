"""One day's rows of a data set as its files have them, for the log that the day extends.

Nothing is converted but ids, so that the check sees, counts and sets aside what cannot be read.
"""

import dataclasses
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from homefeed.artifacts import is_disk_full, writing
from homefeed.clock import DAY_MS
from homefeed.data.contract import Dataset
from homefeed.data.conversion import convert
from homefeed.data.files import unreadable
from homefeed.data.specification import FILE_NAME, write_spec
from homefeed.data.tables import open_table
from homefeed.errors import DatasetError
from homefeed.schema import (
    ACTIONS,
    ARRIVED_AT,
    IMPRESSIONS,
    ITEM_ID,
    ITEMS,
    POSITION,
    REQUEST_ID,
    TIMESTAMP,
    USER_ID,
)

IMPRESSION_KEY = (REQUEST_ID, USER_ID, ITEM_ID, TIMESTAMP, POSITION)


def write_day_of(
    dataset: Dataset, base: Dataset, from_ms: int, to_ms: int, out: Path
) -> tuple[Dataset, int]:
    """Write the rows of [from_ms, to_ms) at ``out``; return the set and how many actions they are.

    Actions from before ``from_ms`` that arrived within the day are among them, as in the event log:
    their own day was published without them. Other tables without a row that day are left out: the
    check refuses an empty table, and a day's actions are good without them.
    Rows whose time is missing or cannot be read belong to no day: where the folder holds this day
    alone they come along, and the check sets them aside; of a folder with other days they may be of
    any, and charged to one day they would refuse it, so they are left out. Ids get the type that
    they have in ``base``: a day whose ids happen to be digits alone would otherwise be of other
    users. DatasetError where they cannot.
    """
    files = {}
    with writing(out) as beside:
        beside.mkdir()
        for table in (table for table in (ACTIONS, IMPRESSIONS, ITEMS) if dataset.has(table)):
            rows = _of_day(dataset, base, table, from_ms, to_ms)
            path = beside / f"{table}.parquet"
            try:
                rows.sink_parquet(path, maintain_order=True)
            except pl.exceptions.PolarsError as error:
                if is_disk_full(error):
                    raise
                raise unreadable(dataset.root / dataset.spec.files[table], error) from None
            if table == ACTIONS or pq.read_metadata(path).num_rows:
                files[table] = path.name
            else:
                path.unlink()
        write_spec(beside / FILE_NAME, dataclasses.replace(dataset.spec, files=files, span=None))
    day = Dataset.open(out)
    timed = day.scan(ACTIONS).select(pl.col(TIMESTAMP).count()).collect().item()
    return day, timed


def days_with_actions(dataset: Dataset, from_ms: int, to_ms: int | None = None) -> list[int]:
    """The starts, in ms, of the days from ``from_ms`` on that have an action, in order.

    Of an action from before ``from_ms``, the day on which it arrived counts. Up to ``to_ms``, where
    given; what arrived after it does not count then, since the day of its arrival takes it.
    """
    raw, found = open_table(dataset.root, ACTIONS, dataset.spec)
    time_ms, arrived_ms = _times(raw, found, dataset)
    entered_ms = pl.when(time_ms >= from_ms).then(time_ms).otherwise(arrived_ms)
    number = ((entered_ms - from_ms) // DAY_MS).alias("number")
    rows = raw.filter(time_ms.is_not_null(), entered_ms >= from_ms)
    if to_ms is not None:
        rows = rows.filter(time_ms < to_ms, arrived_ms.is_null() | (arrived_ms < to_ms))
    try:
        numbers = rows.select(number).unique().collect(engine="streaming")["number"]
    except pl.exceptions.PolarsError as error:
        raise unreadable(dataset.root / dataset.spec.files[ACTIONS], error) from None
    return [from_ms + DAY_MS * each for each in numbers.sort()]


def _times(raw: pl.LazyFrame, found: dict[str, str], dataset: Dataset) -> tuple[pl.Expr, pl.Expr]:
    """When the rows of a table happened and when they arrived, in ms; null where unknown."""
    schema = raw.collect_schema()
    happened, arrived = (
        convert(found[column], "time", schema[found[column]], dataset.spec)
        if column in found
        else pl.lit(None, pl.Int64)
        for column in (TIMESTAMP, ARRIVED_AT)
    )
    return happened, arrived


def _of_day(dataset: Dataset, base: Dataset, table: str, from_ms: int, to_ms: int) -> pl.LazyFrame:
    raw, found = open_table(dataset.root, table, dataset.spec)
    schema = raw.collect_schema()
    if table != ITEMS:
        time_ms, arrived_ms = _times(raw, found, dataset)
        wanted_rows = time_ms.is_between(from_ms, to_ms, closed="left")
        if table == ACTIONS:
            came_late = arrived_ms.is_between(from_ms, to_ms, closed="left")
            wanted_rows |= (time_ms < from_ms) & came_late.fill_null(False)
        of_others, untimed = (~wanted_rows).any(), time_ms.is_null().sum().alias("untimed")
        others, lost = raw.select(of_others, untimed).collect(engine="streaming").row(0)
        raw = raw.filter(wanted_rows if others else wanted_rows | time_ms.is_null())
        if others and lost:
            print(
                f"= {lost:,} {table} of {dataset.root} have no readable time: of no day, left out"
            )
    wanted = base.scan(ACTIONS).collect_schema()
    for column in (c for c in (USER_ID, ITEM_ID) if c in found):
        is_number, name = schema[found[column]].is_integer(), found[column]
        if is_number and wanted[column] == pl.String:
            raw = raw.with_columns(pl.col(name).cast(pl.String))
        elif not is_number and wanted[column].is_integer() and schema[name] != pl.Null:
            raise DatasetError(
                f"{dataset.root / dataset.spec.files[table]}: {column} is text, and whole numbers "
                f"in the log that the day extends ({base.root}); write it with one type"
            )
    return raw.select(list(dict.fromkeys(found.values())))


def with_day(
    known: pl.LazyFrame, day: pl.LazyFrame, table: str, columns: list[str]
) -> pl.LazyFrame:
    """The rows of a log and those of a day that it does not have yet.

    An action is had that agrees in the log's own ``columns``. An item or an impression that both
    have is the day's: it was told later, with the labels that came since. Equal rows within the log
    stay: they are untimed, or the check would have taken them out. Of what has times only the log's
    rows from the day's first on are held in memory.
    """
    if table == ITEMS:
        return pl.concat([_without(known, day, [ITEM_ID]), day])
    first_ms = day.select(pl.col(TIMESTAMP).min()).collect().item()
    late = known.filter(pl.col(TIMESTAMP) >= first_ms)
    if table == IMPRESSIONS:
        early = known.filter(pl.col(TIMESTAMP) < first_ms)
        return pl.concat([early, _without(late, day, list(IMPRESSION_KEY)), day])
    return pl.concat([known, _without(day, late, columns)])


def _without(rows: pl.LazyFrame, others: pl.LazyFrame, key: list[str]) -> pl.LazyFrame:
    """The ``rows``, in their order, whose ``key`` none of the ``others`` has."""
    others = others.select(key).unique()
    return rows.join(others, on=key, how="anti", nulls_equal=True, maintain_order="left")
