"""One day of the event log as a data set: what was shown, and what users did about it.

An action is taken with the day that it happened on, or, where it arrived on a later day, with that
one: the day before was published without it. What was shown is taken with the day that it was
shown on, once: an answer that comes after the log was read labels nothing.
"""

import dataclasses
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import polars as pl

from homefeed import schema
from homefeed.artifacts import open_to_read
from homefeed.clock import DAY_S
from homefeed.data.contract import Dataset, write_dataset
from homefeed.data.item_stats import LABEL_LAG_S
from homefeed.data.sequences.encode import MAX_CODES
from homefeed.data.sequences.layout import NEVER_MIN
from homefeed.errors import ArtifactError, DatasetError
from homefeed.steps.lineage import name_of

MINUTE_MS = 60_000
END_OF_TIME_S = 2**40  # later than any time that a log holds


def event_log_day(
    log: Path, base: Dataset, from_s: int, to_s: int, out: Path
) -> tuple[Dataset, int]:
    """Write the actions and impressions of [from_s, to_s) at ``out``, in the form of ``base``.

    Actions from before ``from_s`` that arrived within the day are among them. An impression is
    labelled with the actions that name its request and that the log holds by now: those of the
    day, and those of the next one that came before its labels count as settled.

    Returns the data set and the watermark: the log's sequence number up to which rows as of
    ``to_s`` hold every action.
    Raises DatasetError where there is no log, or nobody acted on that day, and ArtifactError
    where the log is damaged.
    """
    with _opened(log) as connection:
        ((watermark,),) = connection.execute(WATERMARK_SQL, (to_s * 1000,))
        actions = _read(connection, ACTION_SQL, from_s, to_s)
        shown = _read(connection, EXPOSURE_SQL, from_s, to_s)
        answers = _read(connection, ANSWER_SQL, from_s, to_s)
    actions = _external(_in_time(actions, base, from_s), base, "actions")
    if actions.is_empty():
        first, last = name_of(from_s + 1), name_of(to_s)
        when = f"on {last}" if first == last else f"from {first} to {last}"
        raise DatasetError(f"{log} holds no action {when}; give another --date")
    tables = {schema.ACTIONS: _few_surfaces(actions, base)}
    if base.has(schema.IMPRESSIONS) and not shown.is_empty() and _labels_are_told(base):
        shown = _external(_impressions(shown, answers, base), base, "impressions")
        if not shown.is_empty():
            tables[schema.IMPRESSIONS] = shown
    first_s = min(from_s, actions[schema.TIMESTAMP].min() // 1000)
    spec = dataclasses.replace(base.spec, span=(first_s, to_s), notes=())
    return write_dataset(out, spec, tables), int(watermark)


def event_log_days(log: Path, base: Dataset, from_s: int, to_s: int | None = None) -> Iterator[int]:
    """The ends of the days from ``from_s`` on that ``event_log_day`` finds an action for, in order.

    Up to ``to_s``, where given; an action that arrived after it does not count then, since the day
    of its arrival takes it. Raises DatasetError where there is no log, ArtifactError where it
    is damaged.
    """
    until_s = END_OF_TIME_S if to_s is None else to_s
    with _opened(log) as connection:
        times = {"from": from_s * 1000, "to": until_s * 1000}
        for (number,) in connection.execute(DAYS_SQL, times).fetchall():
            start_s = from_s + number * DAY_S
            found = _read(connection, ACTION_SQL, start_s, start_s + DAY_S)
            found = found.filter(pl.col(schema.ARRIVED_AT) < until_s * 1000)
            # Actions that the day itself would leave out make no day.
            kept = _in_time(found, base, start_s, tell=_silently)
            if not _external(kept, base, "actions", tell=_silently).is_empty():
                yield start_s + DAY_S


# The store keeps seconds, half-precision durations and minutes of lateness, each rounded up: what
# became available within a minute of the end may be missing from the row. A watermark that is too
# low costs a comparison, since an action told twice counts once; one too high loses the action.
WATERMARK_SQL = (
    "SELECT coalesce(min(CASE WHEN max(arrived_ms, time_ms + 1002 * duration_s) + 61000 > ? "
    "THEN seq END) - 1, max(seq), 0) FROM actions"
)
# A client's clock may be ahead: nothing counts before its own time, so it arrived then.
ACTION_SQL = (
    "SELECT user_id, item_id, action_type, time_ms AS timestamp, surface, duration_s, request_id, "
    "event_id, max(arrived_ms, time_ms) AS arrived_at FROM actions WHERE time_ms < :to "
    "AND (time_ms >= :from OR (arrived_ms >= :from AND arrived_ms < :to)) ORDER BY seq"
)
DAYS_SQL = (
    "SELECT DISTINCT (CASE WHEN time_ms >= :from THEN time_ms ELSE arrived_ms END - :from) "
    "/ 86400000 AS number FROM actions WHERE time_ms < :to AND arrived_ms < :to "
    "AND (time_ms >= :from OR arrived_ms >= :from) ORDER BY number"
)
EXPOSURE_SQL = (
    "SELECT e.request_id, e.user_id, json_extract(i.value, '$[0]') AS item_id, "
    "e.time_ms AS timestamp, i.key + 1 AS position, e.surface "
    "FROM exposures e, json_each(e.items) i WHERE e.time_ms >= :from AND e.time_ms < :to "
    "AND e.endpoint = 'feed' ORDER BY e.seq, i.key"
)
# A feed shortly before midnight is answered after it. Item statistics count a label as known
# LABEL_LAG_S after the showing, so what happens later than that, on a later day, is none.
ANSWER_SQL = (
    "SELECT DISTINCT a.request_id, a.user_id, a.item_id, a.action_type FROM actions a "
    "JOIN exposures e ON e.request_id = a.request_id AND e.user_id = a.user_id "
    "WHERE e.time_ms >= :from AND e.time_ms < :to AND e.endpoint = 'feed' "
    "AND a.time_ms < max(:to, e.time_ms + :settled)"
)


@contextmanager
def _opened(log: Path) -> Iterator[sqlite3.Connection]:
    """The event log, to be read. DatasetError where there is none, ArtifactError if damaged."""
    if not log.exists():
        raise DatasetError(f"{log} does not exist: nothing was served yet; give --data FOLDER")
    try:
        with closing(open_to_read(log)) as connection:
            yield connection
    except sqlite3.DatabaseError as error:
        raise ArtifactError(
            f"event log {log} cannot be read ({error}); where it is locked, try again, else put "
            "a copy of the file back; or stop the servers, move it away with what begins with its "
            "name, and start them: they begin a new one"
        ) from None


def _read(connection: sqlite3.Connection, query: str, from_s: int, to_s: int) -> pl.DataFrame:
    times = {"from": from_s * 1000, "to": to_s * 1000, "settled": LABEL_LAG_S * 1000}
    cursor = connection.execute(query, times)
    names = [column[0] for column in cursor.description]
    found = pl.DataFrame(cursor.fetchall(), schema=names, orient="row", infer_schema_length=None)
    # On a day on which no action names its request, there is no type to infer.
    return found.cast({schema.REQUEST_ID: pl.String})


def _silently(_: str) -> None:
    """Where a day is only looked at: the step that takes it tells what it leaves out."""


def _in_time(
    actions: pl.DataFrame, base: Dataset, from_s: int, tell: Callable[[str], None] = print
) -> pl.DataFrame:
    """Without those that came later than the store can tell, or are older than the log itself."""
    time_ms, arrived_ms = pl.col(schema.TIMESTAMP), pl.col(schema.ARRIVED_AT)
    first_ms = 1000 * base.spec.span[0] if base.spec.span else 0
    is_new = time_ms >= from_s * 1000
    is_told = (arrived_ms - time_ms < NEVER_MIN * MINUTE_MS) & (time_ms >= first_ms)
    kept = actions.filter(is_new | is_told)
    if late := kept.filter(~is_new).height:
        tell(f"= {late:,} actions of earlier days arrived on this one")
    if left_out := actions.height - kept.height:
        tell(f"= {left_out:,} actions left out: they came over 45 days late, or precede the log")
    return kept


def _few_surfaces(actions: pl.DataFrame, base: Dataset) -> pl.DataFrame:
    """With no more surfaces than the store can tell: any text may be posted as one.

    Those of the log stay, and of new ones those that the day has most of; the others are "".
    """
    surface = pl.col(schema.SURFACE)
    known = base.scan(schema.ACTIONS).select(surface.unique()).collect().to_series()
    new = actions.filter(surface != "", ~surface.is_in(known.implode()))[schema.SURFACE]
    counts = new.value_counts().sort("count", schema.SURFACE, descending=[True, False])
    room = MAX_CODES - known.filter(known != "").len()
    if (left := counts.height - max(room, 0)) <= 0:
        return actions
    print(
        f"= {left:,} surfaces that were posted are read as none: {MAX_CODES} names fit; post "
        "names of places, not paths or ids"
    )
    kept = pl.concat([known, counts[schema.SURFACE].head(max(room, 0))])
    named = pl.when(surface.is_in(kept.implode())).then(surface).otherwise(pl.lit(""))
    return actions.with_columns(named.alias(schema.SURFACE))


def _labels_are_told(base: Dataset) -> bool:
    """Whether each label has an action type of its name: only that says what answered a showing."""
    untold = [label for label in base.spec.labels if label not in base.spec.action_types]
    if untold:
        print(
            f"= what was shown is left out: no action type is named like the label "
            f"{', '.join(untold)}, so nothing says which items it is 1 for"
        )
    return not untold


def _impressions(shown: pl.DataFrame, answers: pl.DataFrame, base: Dataset) -> pl.DataFrame:
    """Shown items with a label per action type that answered them, all with typed ids."""
    labelled, named = shown, [schema.REQUEST_ID, schema.USER_ID, schema.ITEM_ID]
    answers = answers.cast(pl.String)  # where nothing was answered, there is no type to infer
    for label in base.spec.labels:
        hits = (
            answers.filter(pl.col(schema.ACTION_TYPE) == label)
            .select(named)
            .with_columns(pl.lit(1, pl.Int8).alias(label))
        )
        labelled = labelled.join(hits, on=named, how="left")
    return labelled.with_columns(pl.col(label).fill_null(0) for label in base.spec.labels)


def _external(
    frame: pl.DataFrame, base: Dataset, table: str, tell: Callable[[str], None] = print
) -> pl.DataFrame:
    """Typed ids back to the log's own; rows whose ids are of another type than the log's go.

    A server takes any id, so one that was posted as a text must not cost the others their day.
    """
    found = base.scan(schema.ACTIONS).collect_schema()
    names = [schema.USER_ID, schema.ITEM_ID]
    own = frame.with_columns(_untyped(name, found[name]) for name in names).drop_nulls(names)
    if dropped := frame.height - own.height:
        kinds = " and ".join(f"{name} {found[name]}" for name in names)
        tell(f"= {dropped:,} {table} left out: their ids are of another type than {kinds}")
    return own


def _untyped(name: str, dtype: pl.DataType) -> pl.Expr:
    """The id without its mark, null where it has another type or does not fit."""
    mark = "i:" if dtype.is_integer() else "s:"
    typed = pl.col(name).cast(pl.String)
    is_own = typed.str.starts_with(mark)
    return pl.when(is_own).then(typed.str.strip_prefix(mark)).cast(dtype, strict=False).alias(name)
