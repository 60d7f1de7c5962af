"""Times in another unit than declared, or of two zones: seen at once, before any row is judged."""

import re

import polars as pl

from homefeed.data.checks.marking import Marks
from homefeed.data.contract import Dataset
from homefeed.data.conversion import DATETIME_FORMS, convert
from homefeed.data.tables import UNREADABLE, column_kinds, open_table
from homefeed.errors import DatasetError
from homefeed.schema import ACTIONS, IMPRESSIONS, REQUEST_ID, TIME_KNOWN, TIMESTAMP

# An action log of after 1980 and before 2100, in milliseconds.
_EARLIEST_MS = 315_532_800_000
_LATEST_MS = 4_102_444_800_000
_UNITS_MS = {"s": 1000.0, "ms": 1.0, "us": 0.001, "ns": 0.000001}
_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}


_WANTED = {
    **{"time": "a time in the declared unit", "float": "a number", "int": "a whole number"},
    **{"bool": "true or false", "label": "0 or 1", "vector": "a list of numbers"},
}
_DATE = re.compile(r"\d{4}-\d\d?-\d\d?")
_NUMBER = re.compile(r"-?\d+(\.\d*)?")
_LOOKED_AT = 1000  # values in the file, where too few could be read
_SHOWN = 40  # letters of a value
_SLACK_MS = 60_000  # an action this little before its impression: two clocks, but one time zone
_EARLY_SHARE = 0.1  # of the answers; single devices whose clocks are wrong are fewer
_FEWEST_ANSWERS = 20  # that say anything


def require_plausible_times(
    dataset: Dataset, table: str, marks: Marks, column: str = TIMESTAMP
) -> None:
    """Raise DatasetError where a column's typical time only makes sense in another unit."""
    declared = dataset.spec.timestamp_unit
    read = marks.value(f"SELECT count({column}) FROM {table}")
    if 2 * read < marks.count(table):
        _require_readable(dataset, table, column)
        return
    middle = marks.value(f"SELECT approx_quantile({column}, 0.5) FROM {table}")
    if declared in _UNITS_MS and not _EARLIEST_MS <= middle < _LATEST_MS:
        _require_unit(
            dataset, table, column, middle / _UNITS_MS[declared]
        )  # as it stands in the file


def require_right_types(dataset: Dataset, table: str, marks: Marks) -> None:
    """Raise DatasetError where not one value of a column can be read: no bad rows, another type."""
    if UNREADABLE not in marks.columns(table):
        return
    wrong = marks.value(f"""
        SELECT first(example) FROM (
            SELECT min({UNREADABLE}) AS example, count(*) AS rows FROM {table}
            WHERE {UNREADABLE} IS NOT NULL GROUP BY split_part({UNREADABLE}, '=', 1)
        ) WHERE rows = {marks.count(table)}""")
    if wrong is not None:
        column, _, value = wrong.partition("=")
        wanted = _WANTED.get(column_kinds(table, dataset.spec)[column], "its type")
        raise DatasetError(
            f"{dataset.root / dataset.spec.files[table]}: not one value of {column!r} can be read "
            f"as {wanted} (such as {value}); correct the column, or name another one for it under "
            "`columns` of dataset.yaml"
        )


def require_one_zone(dataset: Dataset, marks: Marks) -> None:
    """Raise DatasetError where actions answer impressions that are later than they themselves.

    They would be features of the very impressions whose labels they are.
    """
    columns = marks.columns(ACTIONS)
    if not dataset.has(IMPRESSIONS) or REQUEST_ID not in columns:
        return
    timed = f" AND a.{TIME_KNOWN}" if TIME_KNOWN in columns else ""
    answers, early, typical_ms = marks.value(f"""
        SELECT [count(*), count(*) FILTER (ahead > {_SLACK_MS}),
                coalesce(median(ahead) FILTER (ahead > {_SLACK_MS}), 0)]
        FROM (
            SELECT min(i.timestamp) - a.timestamp AS ahead
            FROM {ACTIONS} a JOIN {IMPRESSIONS} i USING (request_id, user_id, item_id)
            WHERE request_id <> ''{timed} GROUP BY a."row", a.timestamp
        )""")
    if answers >= _FEWEST_ANSWERS and early > _EARLY_SHARE * answers:
        raise DatasetError(
            f"{dataset.root}: {early:,.0f} of {answers:,.0f} actions that answer an impression "
            f"(same request_id, user_id and item_id) are before it, by {typical_ms / 60_000:,.0f} "
            "minutes typically; write the times of actions and impressions in one time zone"
        )


def _require_readable(dataset: Dataset, table: str, column: str) -> None:
    """Most times became null: say what the values in the file look like, if that explains it."""
    raw, found = open_table(dataset.root, table, dataset.spec)
    values = raw.select(pl.col(found[column]).cast(pl.String)).drop_nulls().head(_LOOKED_AT)
    texts = [text.strip() for text in values.collect().to_series().to_list()]
    dates = [text for text in texts if _DATE.match(text)]
    numbers = sorted(float(text) for text in texts if _NUMBER.fullmatch(text))
    if 2 * len(dates) > len(texts) and dataset.spec.timestamp_unit != "datetime":
        advice = "declare timestamp_unit: datetime"
        raise _looks_like(dataset, table, column, "dates", repr(dates[0]), advice)
    if 2 * len(numbers) > len(texts):
        _require_unit(dataset, table, column, numbers[len(numbers) // 2])
    elif dataset.spec.timestamp_unit == "datetime":
        _require_known_form(dataset, table, column, texts)


def _require_known_form(dataset: Dataset, table: str, column: str, texts: list[str]) -> None:
    """Datetimes as text: say which forms are known, where most have another."""
    values = pl.DataFrame({column: [text for text in texts if text]}, {column: pl.String})
    read = convert(column, "time", pl.String(), dataset.spec)
    unknown = values.filter(read.is_null()).to_series()
    if 2 * len(unknown) > len(values):
        known = f"{', '.join(DATETIME_FORMS[:-1])} or {DATETIME_FORMS[-1]}"
        raise DatasetError(
            f"{dataset.root / dataset.spec.files[table]}: {_subject(column)} have an unknown form "
            f"({unknown[0][:_SHOWN]!r}); write them as {known}"
        )


def _require_unit(dataset: Dataset, table: str, column: str, typical: float) -> None:
    for unit, in_ms in _UNITS_MS.items():
        is_plausible = _EARLIEST_MS <= typical * in_ms < _LATEST_MS
        if unit != dataset.spec.timestamp_unit and is_plausible:
            advice = f"declare timestamp_unit: {unit}"
            if unit == "ns":
                advice = "divide them by 1,000 and declare timestamp_unit: us"
            raise _looks_like(dataset, table, column, _NAMES[unit], f"{typical:.0f}", advice)


def _looks_like(
    dataset: Dataset, table: str, column: str, found: str, typical: str, advice: str
) -> DatasetError:
    declared = _NAMES.get(dataset.spec.timestamp_unit, "datetimes")
    return DatasetError(
        f"{dataset.root / dataset.spec.files[table]}: {_subject(column)} look like {found} "
        f"(typical value {typical}) but {declared} were declared; {advice}"
    )


def _subject(column: str) -> str:
    return "timestamps" if column == TIMESTAMP else f"values of {column}"
