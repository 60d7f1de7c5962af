"""Reading one table of a data set into its canonical columns and types.

Ids keep their type and value (int64 or text); every time becomes int64 milliseconds since 1970
UTC; a value that cannot be read becomes null, so that the check can set its row aside.
"""

import functools
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from homefeed.data.specification import DatasetSpec, reject_unknown
from homefeed.errors import DatasetError
from homefeed.schema import (
    ACTION_TYPE,
    ACTIONS,
    ARRIVED_AT,
    CATEGORIES,
    COLLECTION_ID,
    COLLECTIONS,
    CONTENT,
    CREATED_AT,
    DURATION_S,
    EVENT_ID,
    IMPRESSIONS,
    ITEM_ID,
    ITEMS,
    POSITION,
    PROPENSITY,
    REQUEST_ID,
    SURFACE,
    TEXT,
    TIME_KNOWN,
    TIMESTAMP,
    USER_ID,
)

# Column kinds: id, name (short text), time, float, int, bool, names, vector, label.
REQUIRED: Mapping[str, Mapping[str, str]] = {
    ACTIONS: {USER_ID: "id", ITEM_ID: "id", ACTION_TYPE: "name", TIMESTAMP: "time"},
    ITEMS: {ITEM_ID: "id"},
    COLLECTIONS: {COLLECTION_ID: "name", ITEM_ID: "id"},
    IMPRESSIONS: {
        REQUEST_ID: "name",
        USER_ID: "id",
        ITEM_ID: "id",
        TIMESTAMP: "time",
        POSITION: "int",
    },
}
OPTIONAL: Mapping[str, Mapping[str, str]] = {
    ACTIONS: {
        SURFACE: "name",
        DURATION_S: "float",
        REQUEST_ID: "name",
        EVENT_ID: "name",
        ARRIVED_AT: "time",
        TIME_KNOWN: "bool",
    },
    ITEMS: {TEXT: "name", CATEGORIES: "names", CONTENT: "vector", CREATED_AT: "time"},
    COLLECTIONS: {TIMESTAMP: "time"},
    IMPRESSIONS: {SURFACE: "name", PROPENSITY: "float"},
}
DTYPES: Mapping[str, pl.DataType] = {
    "name": pl.String(),
    "time": pl.Int64(),
    "float": pl.Float32(),
    "int": pl.Int32(),
    "bool": pl.Boolean(),
    "names": pl.List(pl.String()),
    "vector": pl.List(pl.Float32()),
    "label": pl.Int8(),
}
# What an absent optional column (or a null in it) means.
DEFAULTS: Mapping[str, object] = {SURFACE: "", DURATION_S: 0.0, TIME_KNOWN: True}
_TO_MS: Mapping[str, tuple[int, int]] = {"s": (1000, 1), "ms": (1, 1), "us": (1, 1000)}
_CSV_ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
_INTEGER = r"^-?(0|[1-9][0-9]{0,17})$"  # text that an int64 gives back unchanged


def column_kinds(table: str, spec: DatasetSpec) -> dict[str, str]:
    """Canonical column → kind, the labels of the specification included."""
    labels = dict.fromkeys(spec.labels, "label") if table == IMPRESSIONS else {}
    return {**REQUIRED[table], **OPTIONAL[table], **labels}


def scan_table(root: Path, table: str, spec: DatasetSpec) -> pl.LazyFrame:
    """Return all canonical columns of ``table``; absent optional ones are filled with defaults."""
    raw, found = open_table(root, table, spec)
    schema = raw.collect_schema()
    columns = []
    for column, kind in column_kinds(table, spec).items():
        if column in found:
            dtype = schema[found[column]]
            expression = _convert(pl.col(found[column]), kind, dtype, spec)
        else:
            expression = pl.lit(None, dtype=DTYPES[kind])
        if column in DEFAULTS:
            expression = expression.fill_null(DEFAULTS[column])
        columns.append(expression.alias(column))
    return raw.select(columns)


def open_table(root: Path, table: str, spec: DatasetSpec) -> tuple[pl.LazyFrame, dict[str, str]]:
    """Open the file of ``table``; return its rows as found and canonical → found names.

    Raises DatasetError for a missing or truncated file, a missing column, a wrong type.
    """
    path = root / spec.files[table]
    raw = _scan_file(path)
    try:
        schema = raw.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise unreadable(path, error) from None
    renamed = spec.columns.get(table, {})
    kinds = column_kinds(table, spec)
    reject_unknown(renamed, kinds, f"{root}/dataset.yaml: columns.{table}", "column")
    found = {}
    for column in kinds:
        name = renamed.get(column, column)
        if name in schema:
            found[column] = name
        elif column in renamed or column not in OPTIONAL[table]:
            reject_unknown([name], list(schema), str(path), f"column for `{column}`:")
    raw = _as_typed(raw, path, schema, found, kinds)
    schema = raw.collect_schema()
    for column, name in found.items():
        _require_type(path, column, name, schema[name], kinds[column], spec)
    return raw, found


def unreadable(path: Path, error: Exception) -> DatasetError:
    """Say in one line that a file cannot be read."""
    reason = " ".join(str(error).split())[:120]
    kind = "CSV" if _is_csv(path) else "Parquet"
    return DatasetError(
        f"{path} is not a readable {kind} file ({reason}); it may be cut short: export it again"
    )


def _is_csv(path: Path) -> bool:
    return path.name.endswith(_CSV_ENDINGS)


def file_parts(path: Path) -> list[Path]:
    """List the files behind one entry of ``files``: a file, a glob, or a folder of parts."""
    parts = sorted(path.parent.glob(path.name)) if "*" in path.name else [path]
    if path.is_dir():
        parts = sorted(p for p in path.iterdir() if p.name.endswith((".parquet", *_CSV_ENDINGS)))
    if not parts or not parts[0].exists():
        raise DatasetError(f"{path} does not exist; correct `files` in dataset.yaml")
    if empty := [p for p in parts if p.stat().st_size == 0]:
        raise DatasetError(f"{empty[0]} is empty (0 bytes); export it again")
    return parts


def _scan_file(path: Path) -> pl.LazyFrame:
    parts = file_parts(path)
    if _is_csv(parts[0]):
        separator = "\t" if ".tsv" in parts[0].name else ","
        return pl.scan_csv(parts, separator=separator, infer_schema=False)
    return pl.scan_parquet(parts)


def _as_typed(
    raw: pl.LazyFrame,
    path: Path,
    schema: pl.Schema,
    found: Mapping[str, str],
    kinds: Mapping[str, str],
) -> pl.LazyFrame:
    """CSV arrives as text: an id column becomes int64 where that gives every id back unchanged."""
    parts = file_parts(path)
    if not _is_csv(parts[0]):
        return raw
    names = [name for column, name in found.items() if kinds[column] == "id"]
    stamp = max(part.stat().st_mtime_ns for part in parts)
    whole = _integer_columns(path, stamp, tuple(names))
    return raw.with_columns(pl.col(whole).cast(pl.Int64)) if whole else raw


@functools.lru_cache(maxsize=64)
def _integer_columns(path: Path, modified_ns: int, names: tuple[str, ...]) -> list[str]:
    columns = [pl.col(name).drop_nulls().str.contains(_INTEGER).all() for name in names]
    try:
        row = _scan_file(path).select(columns).collect(engine="streaming").row(0)
    except pl.exceptions.PolarsError as error:
        raise unreadable(path, error) from None
    return [name for name, whole in zip(names, row, strict=True) if whole]


def _require_type(
    path: Path, column: str, name: str, dtype: pl.DataType, kind: str, spec: DatasetSpec
) -> None:
    text = dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum)
    allowed, wanted = {
        "id": (text or dtype.is_integer(), "whole numbers or text"),
        "name": (text or dtype.is_integer(), "text"),
        "float": (text or dtype.is_numeric(), "numbers"),
        "int": (text or dtype.is_numeric(), "whole numbers"),
        "bool": (text or dtype == pl.Boolean or dtype.is_integer(), "true or false"),
        "label": (text or dtype == pl.Boolean or dtype.is_numeric(), "0 or 1"),
        "names": (text or dtype.is_nested(), "a list of texts (or text separated by `|`)"),
        "vector": (text or dtype.is_nested(), "a list of numbers (or text separated by `|`)"),
        "time": _time_type(dtype, text, spec),
    }[kind]
    if dtype == pl.Null:
        return
    if not allowed:
        raise DatasetError(
            f"{path}: column `{name}` ({column}) has type {dtype}; it must hold {wanted}"
        )


def _time_type(dtype: pl.DataType, text: bool, spec: DatasetSpec) -> tuple[bool, str]:
    if spec.timestamp_unit == "datetime":
        wanted = "datetimes (timestamp_unit is datetime); for whole numbers declare s, ms or us"
        return text or dtype in (pl.Date, pl.Datetime), wanted
    wanted = f"numbers (timestamp_unit is {spec.timestamp_unit}); for dates declare datetime"
    return text or dtype.is_numeric(), wanted


def _convert(column: pl.Expr, kind: str, dtype: pl.DataType, spec: DatasetSpec) -> pl.Expr:
    text = dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum)
    if kind == "id":
        return column.cast(pl.String) if text else column.cast(pl.Int64, strict=False)
    if kind == "time":
        return _milliseconds(column.cast(pl.String) if text else column, text, dtype, spec)
    if kind in ("names", "vector") and text:
        return column.str.split("|").cast(DTYPES[kind], strict=False)
    if kind in ("bool", "label") and text:
        lower = column.cast(pl.String).str.to_lowercase()
        flag = pl.when(lower.is_in(["1", "true"])).then(1).when(lower.is_in(["0", "false"])).then(0)
        return flag.cast(DTYPES[kind])
    return column.cast(DTYPES[kind], strict=False)


def _milliseconds(column: pl.Expr, text: bool, dtype: pl.DataType, spec: DatasetSpec) -> pl.Expr:
    if spec.timestamp_unit != "datetime":
        times, over = _TO_MS[spec.timestamp_unit]
        if text or dtype.is_float():  # a fraction of a second is kept to the millisecond
            return (
                (column.cast(pl.Float64, strict=False) * (times / over))
                .round()
                .cast(pl.Int64, strict=False)
            )
        return column.cast(pl.Int64) * times // over
    if text:
        column = column.str.to_datetime(strict=False, time_unit="us", ambiguous="earliest")
    elif dtype == pl.Date:
        column = column.cast(pl.Datetime("us"))
    if not text and isinstance(dtype, pl.Datetime) and dtype.time_zone:
        return column.dt.epoch("ms")
    return column.dt.replace_time_zone(
        spec.time_zone, ambiguous="earliest", non_existent="null"
    ).dt.epoch("ms")
