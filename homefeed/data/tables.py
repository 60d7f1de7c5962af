"""Reading one table of a data set into its canonical columns and types.

Ids keep their type and value (int64 or text); every time becomes int64 milliseconds since 1970
UTC; a value that cannot be read becomes null, so that the check can set its row aside.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from homefeed.data.conversion import DTYPES, convert, is_text, surely_readable, type_fault
from homefeed.data.files import (
    file_parts,
    is_csv,
    is_named_by_folders,
    scan_file,
    unreadable,
)
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
# What an absent optional column (or a null in it) means.
DEFAULTS: Mapping[str, object] = {SURFACE: "", DURATION_S: 0.0, TIME_KNOWN: True}
UNREADABLE = "unreadable"
_SHOWN = 60  # characters of a value that cannot be read
_SHOWN_NAMES = 30  # columns of a file that lacks one
_INTEGER = r"^(0|-?[1-9][0-9]{0,18})$"  # text that an integer gives back unchanged


def column_kinds(table: str, spec: DatasetSpec) -> dict[str, str]:
    """Canonical column → kind, the labels of the specification included."""
    labels = dict.fromkeys(spec.labels, "label") if table == IMPRESSIONS else {}
    return {**REQUIRED[table], **OPTIONAL[table], **labels}


def scan_table(root: Path, table: str, spec: DatasetSpec) -> pl.LazyFrame:
    """Return all canonical columns of ``table``; absent optional ones are filled with defaults."""
    raw, found = open_table(root, table, spec)
    schema = raw.collect_schema()
    kinds = column_kinds(table, spec)
    absent = (
        _filled(column, pl.lit(None, dtype=DTYPES[kinds[column]]))
        for column in kinds
        if column not in found
    )
    given = (
        _filled(column, convert(name, kinds[column], schema[name], spec))
        for column, name in found.items()
    )
    return raw.select(*given, *absent).select(list(kinds))


def scan_for_check(root: Path, table: str, spec: DatasetSpec) -> pl.LazyFrame:
    """Return the canonical columns that the file holds, and ``unreadable`` where it can be needed.

    ``unreadable`` holds the first value of the row that is there but cannot be read as its
    column's type, as it was found: ``timestamp='yesterday'``. It is null in good rows.
    """
    raw, found = open_table(root, table, spec)
    schema = raw.collect_schema()
    kinds = column_kinds(table, spec)
    columns, marks = [], []
    for column, name in found.items():
        converted = convert(name, kinds[column], schema[name], spec)
        columns.append(_filled(column, converted))
        if not surely_readable(kinds[column], schema[name]):
            lost = pl.col(name).is_not_null() & converted.is_null()
            if is_text(schema[name]):  # a quoted cell without anything in it is absent
                lost &= pl.col(name).cast(pl.String) != ""
            marks.append(_as_found(column, name, schema[name], lost))
    if marks:
        columns.append(pl.coalesce(marks).alias(UNREADABLE))
    return raw.select(columns)


def require_ids_fit(root: Path, table: str, spec: DatasetSpec) -> None:
    """Raise DatasetError for ids beyond int64, which would be taken for missing ones."""
    raw, found = open_table(root, table, spec)
    schema = raw.collect_schema()
    wide = [found[c] for c in found if column_kinds(table, spec)[c] == "id"]
    for name in (name for name in wide if schema[name] in (pl.UInt64, pl.Int128, pl.UInt128)):
        ends = raw.select(pl.col(name).min().alias("low"), pl.col(name).max().alias("high"))
        low, high = ends.collect(engine="streaming").row(0)
        if high is not None and not -(2**63) <= low <= high < 2**63:
            raise DatasetError(
                f"{root / spec.files[table]}: column {name!r} holds integer ids beyond 64 bits "
                f"signed, from {low} to {high}; write them as text"
            )


def _as_found(column: str, name: str, dtype: pl.DataType, lost: pl.Expr) -> pl.Expr:
    """``column='text'`` of the ``lost`` values on one line; null for the others."""
    found = pl.when(lost)
    if dtype.is_nested():  # no text of its own
        return found.then(pl.lit(f"{column}={dtype}"))
    text = found.then(pl.col(name)).cast(pl.String).str.replace_all(r"\s+", " ")
    quote = "'" if is_text(dtype) else ""
    return pl.lit(f"{column}={quote}") + text.str.head(_SHOWN) + pl.lit(quote)


def _filled(column: str, values: pl.Expr) -> pl.Expr:
    if column in DEFAULTS:
        values = values.fill_null(DEFAULTS[column])
    return values.alias(column)


def open_table(root: Path, table: str, spec: DatasetSpec) -> tuple[pl.LazyFrame, dict[str, str]]:
    """Open the file of ``table``; return its rows as found and canonical → found names.

    Raises DatasetError for a missing or truncated file, a missing column, a wrong type.
    """
    path = root / spec.files[table]
    raw = scan_file(path)
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
        elif column in renamed or column not in OPTIONAL[table] or is_named_by_folders(path, name):
            raise _no_column(path, table, column, name, list(schema))
    if is_csv(path):
        raw = raw.with_columns(_csv_ids(root, spec, kinds, found))
        schema = raw.collect_schema()
    for column, name in found.items():
        if wanted := type_fault(kinds[column], schema[name], spec):
            raise DatasetError(
                f"{path}: column `{name}` ({column}) has type {schema[name]}; it must hold {wanted}"
            )
    return raw, found


def _no_column(
    path: Path, table: str, column: str, name: str, names: Sequence[str]
) -> DatasetError:
    """Say why the column ``name`` is not among the ``names`` in the file, and what to do."""
    if is_named_by_folders(path, name):
        return DatasetError(
            f"{path}: `{name}` ({column}) is only in the names of folders (`{name}=…`), which are "
            "not read; write it into the parts as a column"
        )
    other = next((mark for mark in ";\t|" if mark in names[0]), None)
    if len(names) == 1 and other and is_csv(path):
        return DatasetError(
            f"{path} parts its columns with {other!r}: {names[0]!r}; export it with commas and "
            "name it .csv, or with tabs and name it .tsv"
        )
    if is_csv(path) and any("\r" in each for each in names):
        return DatasetError(
            f"{path} ends its lines with carriage returns alone, as old Mac programs do; save it "
            "with line feeds (`\\n`)"
        )
    shown = [each if each == each.strip() else repr(each) for each in names]  # ' item_id'
    if len(shown) > _SHOWN_NAMES:
        shown[_SHOWN_NAMES:] = [f"and {len(shown) - _SHOWN_NAMES:,} more"]
    return DatasetError(
        f"{path} has no column `{name}` (needed as {column}); it has: {', '.join(shown)}; "
        f"say under `columns: {{{table}: …}}` in dataset.yaml what it is called"
    )


def _csv_ids(
    root: Path, spec: DatasetSpec, kinds: Mapping[str, str], found: Mapping[str, str]
) -> list[pl.Expr]:
    """CSV arrives as text: ids become int64 where that gives every id of all tables back."""
    return [
        pl.col(name).cast(pl.Int64, strict=False)  # an empty text is no id
        for column, name in found.items()
        if kinds[column] == "id"
        and all(_holds_integers(root, spec, table, column) for table in spec.files)
    ]


def _holds_integers(root: Path, spec: DatasetSpec, table: str, column: str) -> bool:
    path = root / spec.files[table]
    name = spec.columns.get(table, {}).get(column, column)
    stamp = max(part.stat().st_mtime_ns for part in file_parts(path))
    return _column_of_integers(path, name, stamp)


@functools.lru_cache(maxsize=256)
def _column_of_integers(path: Path, name: str, modified_ns: int) -> bool:
    """Whether the column holds whole numbers only, or is not there."""
    raw = scan_file(path)
    try:
        schema = raw.collect_schema()
        if name not in schema or schema[name] != pl.String:
            return name not in schema or schema[name].is_integer()
        if not is_csv(path):
            return False
        given = pl.col(name).filter(pl.col(name) != "")
        fits = given.cast(pl.Int64, strict=False).is_not_null()
        whole = (given.str.contains(_INTEGER) & fits).all()
        return raw.select(whole).collect(engine="streaming").item()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise unreadable(path, error) from None
