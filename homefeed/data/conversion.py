"""From the types that a file has to the types of the contract.

A value that cannot be read becomes null; ``surely_readable`` says where that cannot happen.
"""

from collections.abc import Mapping

import polars as pl

from homefeed.data.specification import DatasetSpec

# Column kinds: id, name (short text), time, float, int, bool, names, vector, label.
DTYPES: Mapping[str, pl.DataType] = {
    "name": pl.String(),
    "time": pl.Int64(),  # milliseconds since 1970 UTC
    "float": pl.Float32(),
    "int": pl.Int32(),
    "bool": pl.Boolean(),
    "names": pl.List(pl.String()),
    "vector": pl.List(pl.Float32()),
    "label": pl.Int8(),
}
_TO_MS: Mapping[str, tuple[int, int]] = {"s": (1000, 1), "ms": (1, 1), "us": (1, 1000)}
_LARGEST_S = 2**53  # no such time exists, and beyond it times 1,000 would wrap around
_LOCAL_FORMS = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d")
DATETIME_FORMS = (  # of datetimes as text, by an example each
    *("2024-01-31", "2024-01-31 09:05", "2024-01-31T09:05:00.5Z"),
    *("2024-01-31T10:05+01:00", "2024-01-31 09:05:00 UTC"),
)
_FORM_WITH_OFFSET = "%Y-%m-%dT%H:%M:%S%.f%#z"
_AS_TEXT = ", so write UUIDs and bytes as text"
_NAMED_UTC = r" ?(?:\+00:?00 ?)?(?:UTC|GMT)$"  # as BigQuery, Ruby and Go write it
_WITHOUT_SECONDS = r"(T\d\d:\d\d)([Zz+-])"  # a further form to try would cost ten times the mend


def is_text(dtype: pl.DataType) -> bool:
    """Whether values of ``dtype`` are text."""
    return dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum)


def type_fault(kind: str, dtype: pl.DataType, spec: DatasetSpec) -> str | None:
    """What a column of ``kind`` must hold, where ``dtype`` cannot hold it; else None."""
    number, text = dtype.is_numeric(), is_text(dtype)
    is_list = isinstance(dtype, pl.List | pl.Array)  # a struct is nested as well
    if dtype == pl.Null or (text and kind != "time"):
        return None
    fits, wanted = {
        "id": (dtype.is_integer(), "whole numbers or text" + _AS_TEXT * (dtype == pl.Binary)),
        "name": (text or dtype.is_integer(), "text"),
        "float": (number, "numbers"),
        "int": (number, "whole numbers"),
        "bool": (dtype == pl.Boolean or dtype.is_integer(), "true or false"),
        "label": (dtype == pl.Boolean or number, "0 or 1"),
        "names": (is_list, "a list of texts (or text separated by `|`)"),
        "vector": (is_list, "a list of numbers (or text separated by `|`)"),
        "time": _time_fits(dtype, spec),
    }[kind]
    return None if fits else wanted


def _time_fits(dtype: pl.DataType, spec: DatasetSpec) -> tuple[bool, str]:
    if spec.timestamp_unit == "datetime":
        wanted = "datetimes (timestamp_unit is datetime); for whole numbers declare s, ms or us"
        return is_text(dtype) or dtype == pl.Date or isinstance(dtype, pl.Datetime), wanted
    wanted = f"numbers (timestamp_unit is {spec.timestamp_unit}); for dates declare datetime"
    return is_text(dtype) or dtype.is_numeric(), wanted


def surely_readable(kind: str, dtype: pl.DataType) -> bool:
    """Whether no value of the found type can be lost on the way to its kind's type."""
    if kind == "id":  # a lost id is a missing id: the check has a rule of its own for it
        return True
    if kind in ("name", "bool") and (dtype.is_integer() or is_text(dtype)):
        return kind == "name" or dtype.is_integer()
    return dtype == DTYPES[kind] or (kind == "float" and dtype.is_numeric())


def convert(name: str, kind: str, dtype: pl.DataType, spec: DatasetSpec) -> pl.Expr:
    """Read the column ``name`` as ``kind``; what cannot be read is null."""
    text = is_text(dtype)
    column = pl.col(name).cast(pl.String) if text else pl.col(name)
    if kind == "id":
        return pl.when(column != "").then(column) if text else column.cast(pl.Int64, strict=False)
    if kind == "time":
        if spec.timestamp_unit == "datetime":
            return _from_datetime(column, dtype, spec.time_zone)
        return _from_number(column, dtype, spec.timestamp_unit)
    if kind in ("names", "vector") and text:
        return pl.when(column != "").then(column.str.split("|")).cast(DTYPES[kind], strict=False)
    if kind in ("int", "label") and text:  # as data frames write whole numbers among empty ones
        column = column.str.replace(r"\.0+$", "")
    if kind in ("bool", "label") and text:
        lower = column.str.to_lowercase()
        flag = pl.when(lower.is_in(["1", "true"])).then(1).when(lower.is_in(["0", "false"])).then(0)
        return flag.cast(DTYPES[kind])
    if kind == "float":  # not-a-number is how data frames write an absent number
        return column.cast(DTYPES[kind], strict=False).fill_nan(None)
    if kind == "label" and dtype.is_float():
        return pl.when(column.is_in([0.0, 1.0])).then(column).cast(pl.Int8)
    return column.cast(DTYPES[kind], strict=False)


def _from_number(column: pl.Expr, dtype: pl.DataType, unit: str) -> pl.Expr:
    times, over = _TO_MS[unit]
    if not dtype.is_integer():  # a fraction of a second is kept to the millisecond
        number = column.cast(pl.Float64, strict=False) * (times / over)
        return number.round().cast(pl.Int64, strict=False)
    whole = column.cast(pl.Int64, strict=False)
    if unit == "s":
        whole = pl.when(whole.is_between(-_LARGEST_S, _LARGEST_S)).then(whole)
    return whole * times // over


def _from_datetime(column: pl.Expr, dtype: pl.DataType, zone: str) -> pl.Expr:
    if isinstance(dtype, pl.Datetime) and dtype.time_zone:
        return column.dt.epoch("ms")
    if not is_text(dtype):
        return _localised(column.cast(pl.Datetime("ms")), zone)
    text = column.str.replace(_NAMED_UTC, "Z").str.replace(" ", "T", literal=True)
    text = text.str.replace(_WITHOUT_SECONDS, "${1}:00${2}")
    with_offset = text.str.to_datetime(
        _FORM_WITH_OFFSET, strict=False, time_unit="ms", time_zone="UTC"
    )
    forms = (text.str.to_datetime(form, strict=False, time_unit="ms") for form in _LOCAL_FORMS)
    return pl.coalesce(with_offset.dt.epoch("ms"), _localised(pl.coalesce(*forms), zone))


def _localised(naive: pl.Expr, zone: str) -> pl.Expr:
    """Milliseconds of a clock reading in ``zone``; an hour that a time change left out is null."""
    aware = naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return aware.dt.epoch("ms")
