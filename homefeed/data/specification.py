"""What ``dataset.yaml`` may say: one typed specification, unknown keys are errors."""

import dataclasses
import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml

from homefeed.errors import DatasetError
from homefeed.plain_values import read_yaml
from homefeed.schema import ACTIONS, IMPRESSIONS, TABLES

FILE_NAME = "dataset.yaml"
TIMESTAMP_UNITS = ("s", "ms", "us", "datetime")
MAX_LABELS = 48  # the check keeps one bit of 64 for each, beside those of its other rules


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """The contents of ``dataset.yaml`` (docs/bring-your-own-data.md explains every key)."""

    name: str
    files: Mapping[str, str]  # table → file, below the folder; a glob or a folder of parts too
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # canonical → found
    time_zone: str = "UTC"  # of naive datetimes; whole numbers are UTC by definition
    timestamp_unit: str = "s"  # s, ms, us (since 1970 UTC) or datetime
    span: tuple[int, int] | None = None  # [start, end) in seconds; None: any time up to now
    positive: tuple[str, ...] = ()  # action types that are targets
    neutral: tuple[str, ...] = ()  # action types that are input only
    negative: tuple[str, ...] = ()  # action types of explicit dislike
    min_duration_s: Mapping[str, float] = field(default_factory=dict)  # shorter: not a positive
    session_gap_s: int = 1800  # a pause longer than this starts a new session
    surfaces: tuple[str, ...] = ()  # surfaces that count; empty: all
    labels: tuple[str, ...] = ()  # impression label columns: the ranker's heads
    primary_label: str | None = None  # the label that the ranker is judged by
    live: bool = False  # a simulation can answer a live server (`world` only)
    notes: tuple[str, ...] = ()  # assumptions an adapter had to make; printed in the report

    @property
    def action_types(self) -> tuple[str, ...]:
        """All declared action types: positive, neutral, negative, in that order."""
        return (*self.positive, *self.neutral, *self.negative)


def read_spec(path: Path) -> DatasetSpec:
    """Read ``dataset.yaml``; DatasetError names the key that is wrong and what to write."""
    try:
        values = read_yaml(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        first_line = " ".join(str(error).split())
        raise DatasetError(f"{path} is not YAML: {first_line}; mend that line") from None
    except ValueError as error:  # what looks like a date has to be one
        raise DatasetError(f"{path}: {_impossible_date(path)} is no date ({error})") from None
    if not isinstance(values, dict):
        raise DatasetError(f"{path} holds no keys; write at least name, files and positive")
    return parse_spec(values, str(path))


def _impossible_date(path: Path) -> str:
    """The first date in the file that no calendar has."""
    for found in re.finditer(r"(\d{4})-(\d\d?)-(\d\d?)", path.read_text(encoding="utf-8")):
        try:
            date(*map(int, found.groups()))
        except ValueError:
            return f"`{found[0]}`"
    return "a date or time in it"


def parse_spec(values: Mapping[str, Any], where: str) -> DatasetSpec:
    """Build a specification from parsed YAML. ``where`` names the file in errors."""
    known = [f.name for f in dataclasses.fields(DatasetSpec)]
    reject_unknown(values, known, where, "key")
    for key in ("name", "files", "positive"):
        if not values.get(key):
            raise DatasetError(f"{where}: `{key}` is missing; see docs/bring-your-own-data.md")
    parsed = {key: _parse(key, value, where) for key, value in values.items() if value is not None}
    if "span" in parsed:
        zone = _zone(parsed.get("time_zone", "UTC"), where)
        parsed["span"] = tuple(_second(item, zone, where) for item in parsed["span"])
    spec = DatasetSpec(**parsed)
    _validate(spec, where)
    if spec.labels and spec.primary_label is None:
        spec = dataclasses.replace(spec, primary_label=spec.labels[0])
    return spec


def spec_values(spec: DatasetSpec) -> dict[str, Any]:
    """The specification as plain values, keys at their default left out."""
    values: dict[str, Any] = {}
    for item in dataclasses.fields(spec):
        value = getattr(spec, item.name)
        if value is None or (not value and item.name not in ("name", "files", "positive")):
            continue
        if item.default is not dataclasses.MISSING and value == item.default:
            continue
        values[item.name] = _plain(value)
    return values


def write_spec(path: Path, spec: DatasetSpec) -> None:
    """Write ``dataset.yaml``."""
    text = yaml.safe_dump(spec_values(spec), sort_keys=False, allow_unicode=True, width=100)
    path.write_text(text, encoding="utf-8")


def reject_unknown(found: Iterable[str], known: Iterable[str], where: str, noun: str) -> None:
    """Raise DatasetError for the first name in ``found`` that is not ``known``."""
    known = list(known)
    for name in found:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, 1)
            hint = f"did you mean `{close[0]}`?" if close else f"known: {', '.join(known)}"
            raise DatasetError(f"{where}: unknown {noun} `{name}`; {hint}")


def _parse(key: str, value: Any, where: str) -> Any:
    """Convert one value to its field's type."""
    if key in ("positive", "neutral", "negative", "surfaces", "labels", "notes"):
        if not isinstance(value, list | tuple):
            raise _wrong(where, key, value, f"a list, as in `{key}: [{value}]`")
        if not all(map(_is_word, value)):
            wanted = "a list of texts; put yes, no, on, off and null in quotes, YAML reads them"
            raise _wrong(where, key, value, f"{wanted} as other things")
        return tuple(str(item) for item in value)
    if key in ("files", "columns", "min_duration_s"):
        if not isinstance(value, Mapping):
            raise _wrong(where, key, value, "a mapping")
        return _parse_mapping(key, value, where)
    if key == "span":
        if not isinstance(value, list | tuple) or len(value) != 2:
            raise _wrong(where, key, value, "[start, end]")
        return value  # read once the zone is known
    if key == "session_gap_s":
        if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
            raise _wrong(where, key, value, "a whole number of seconds above 0")
        return value
    if key == "live":
        if not isinstance(value, bool):
            raise _wrong(where, key, value, "true or false")
        return value
    if not isinstance(value, str | int):
        raise _wrong(where, key, value, "text")
    return str(value)


def _is_word(value: Any) -> bool:
    """Whether a list's entry reads back as it was written: text, or a number such as 1."""
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _parse_mapping(key: str, value: Mapping[str, Any], where: str) -> dict[str, Any]:
    if key == "min_duration_s":
        if bad := [
            v for v in value.values() if isinstance(v, bool) or not isinstance(v, int | float)
        ]:
            raise _wrong(where, key, bad[0], "seconds by action type")
        return {str(name): float(seconds) for name, seconds in value.items()}
    reject_unknown(value, TABLES, f"{where}: {key}", "table")
    if key == "columns":
        for table, names in value.items():
            if not isinstance(names, Mapping):
                raise _wrong(where, f"columns.{table}", names, "a mapping canonical: found")
        return {t: {str(c): str(f) for c, f in names.items()} for t, names in value.items()}
    for table, file in value.items():
        if not isinstance(file, str | int):
            wanted = "one file, one folder of parts or one pattern such as `parts/*.parquet`"
            raise _wrong(where, f"files.{table}", file, wanted)
    return {str(table): str(file) for table, file in value.items()}


def _second(value: Any, zone: ZoneInfo, where: str) -> int:
    """A time as whole seconds: a number, a date, or ISO text (of ``zone`` unless it says)."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise _wrong(where, "span", value, "seconds or dates like 2024-01-31") from None
    if isinstance(value, datetime):
        return int((value if value.tzinfo else value.replace(tzinfo=zone)).timestamp())
    if isinstance(value, date):
        return int(datetime(value.year, value.month, value.day, tzinfo=zone).timestamp())
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):
        raise _wrong(where, "span", value, "seconds or dates like 2024-01-31")
    return int(value)


def _zone(name: str, where: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _wrong(where, "time_zone", name, "a zone like Europe/Berlin") from None


def _validate(spec: DatasetSpec, where: str) -> None:
    if not re.fullmatch(r"\w[\w.-]*", spec.name):  # folders are named after it
        raise _wrong(where, "name", spec.name, "letters, digits, `_`, `-` and `.` only")
    if ACTIONS not in spec.files:
        raise DatasetError(
            f"{where}: `files` names no actions table; add `actions: actions.parquet`"
        )
    if spec.timestamp_unit not in TIMESTAMP_UNITS:
        raise _wrong(
            where, "timestamp_unit", spec.timestamp_unit, f"of {', '.join(TIMESTAMP_UNITS)}"
        )
    _zone(spec.time_zone, where)
    if spec.span and not spec.span[0] < spec.span[1]:
        raise _wrong(where, "span", list(spec.span), "[start, end] with start before end")
    types = spec.action_types
    if twice := [t for t in types if types.count(t) > 1]:
        raise DatasetError(f"{where}: action type `{twice[0]}` is declared twice; keep one")
    reject_unknown(spec.min_duration_s, spec.positive, f"{where}: min_duration_s", "positive type")
    if IMPRESSIONS in spec.files and not spec.labels:
        raise DatasetError(f"{where}: impressions need `labels`, the list of their label columns")
    if twice := [each for each in spec.labels if spec.labels.count(each) > 1]:
        raise DatasetError(f"{where}: label `{twice[0]}` is declared twice; keep one")
    if len(spec.labels) > MAX_LABELS:
        raise DatasetError(
            f"{where}: `labels` names {len(spec.labels)} columns; it may name {MAX_LABELS}: keep "
            "those that the ranker shall predict"
        )
    if spec.primary_label is not None:
        reject_unknown([spec.primary_label], spec.labels, f"{where}: primary_label", "label")


def _wrong(where: str, key: str, value: Any, wanted: str) -> DatasetError:
    return DatasetError(f"{where}: `{key}` is {value!r}; it must be {wanted}")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
