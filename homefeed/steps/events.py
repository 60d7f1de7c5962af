"""One day of the event log as a data set: what was shown, and what users did about it."""

import dataclasses
import sqlite3
from pathlib import Path

import polars as pl

from homefeed import schema
from homefeed.data.contract import Dataset, write_dataset
from homefeed.data.vocabulary import untyped_id
from homefeed.errors import DatasetError

EVENTS = "events.db"


def event_log_day(
    log: Path, base: Dataset, from_s: int, to_s: int, out: Path
) -> tuple[Dataset, int]:
    """Write the actions and impressions of [from_s, to_s) at ``out``, in the form of ``base``.

    Returns the data set and the log's sequence number up to which it was read. Raises
    DatasetError where there is no log, or nobody acted on that day.
    """
    if not log.exists():
        raise DatasetError(f"{log} does not exist: nothing was served yet; give --data FOLDER")
    connection = sqlite3.connect(f"file:{log}?mode=ro", uri=True)
    try:
        watermark = connection.execute("SELECT coalesce(max(seq), 0) FROM actions").fetchone()[0]
        actions = _read(connection, "actions", ACTION_SQL, from_s, to_s)
        shown = _read(connection, "exposures", EXPOSURE_SQL, from_s, to_s)
    finally:
        connection.close()
    if actions.is_empty():
        raise DatasetError(f"{log} holds no action between {from_s} and {to_s}; another --date?")
    tables = {schema.ACTIONS: _external(actions, base)}
    if base.has(schema.IMPRESSIONS) and not shown.is_empty():
        tables[schema.IMPRESSIONS] = _external(_impressions(shown, actions, base), base)
    spec = dataclasses.replace(base.spec, span=(from_s, to_s), notes=())
    return write_dataset(out, spec, tables), int(watermark)


ACTION_SQL = (
    "SELECT user_id, item_id, action_type, time_ms AS timestamp, surface, duration_s, request_id, "
    "event_id, arrived_ms AS arrived_at FROM actions WHERE time_ms >= ? AND time_ms < ? "
    "ORDER BY seq"
)
EXPOSURE_SQL = (
    "SELECT e.request_id, e.user_id, json_extract(i.value, '$[0]') AS item_id, "
    "e.time_ms AS timestamp, i.key + 1 AS position, e.surface "
    "FROM exposures e, json_each(e.items) i WHERE e.time_ms >= ? AND e.time_ms < ? "
    "AND e.endpoint = 'feed' ORDER BY e.seq, i.key"
)


def _read(
    connection: sqlite3.Connection, table: str, query: str, from_s: int, to_s: int
) -> pl.DataFrame:
    cursor = connection.execute(query, (from_s * 1000, to_s * 1000))
    names = [column[0] for column in cursor.description]
    return pl.DataFrame(cursor.fetchall(), schema=names, orient="row", infer_schema_length=None)


def _impressions(shown: pl.DataFrame, actions: pl.DataFrame, base: Dataset) -> pl.DataFrame:
    """Shown items with a label per action type that answered them."""
    labelled = shown
    for label in base.spec.labels:
        hits = (
            actions.filter(pl.col("action_type") == label)
            .select("request_id", "item_id")
            .unique()
            .with_columns(pl.lit(1, pl.Int8).alias(label))
        )
        labelled = labelled.join(hits, on=["request_id", "item_id"], how="left")
    return labelled.with_columns(pl.col(label).fill_null(0) for label in base.spec.labels)


def _external(frame: pl.DataFrame, base: Dataset) -> pl.DataFrame:
    """Typed ids back to the log's own, in the type that the base has them."""
    found = base.scan(schema.ACTIONS).collect_schema()
    return frame.with_columns(
        pl.Series(name, [untyped_id(value) for value in frame[name]], dtype=found[name])
        for name in (schema.USER_ID, schema.ITEM_ID)
    )
