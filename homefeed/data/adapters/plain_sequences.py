"""A plain ``user item`` text file: one action a line, each user's lines in chronological order.

The form in which SASRec's data sets circulate (ML-1M, Beauty, Steam, Video). There are no times.
"""

import re
from pathlib import Path

import polars as pl

from homefeed.clock import DAY_S
from homefeed.data.specification import DatasetSpec
from homefeed.errors import DatasetError
from homefeed.schema import ACTION_TYPE, ACTIONS, ITEM_ID, TIME_KNOWN, TIMESTAMP, USER_ID

NAME = "sequences"
VERSION = 3  # a header is no action, quotes around a word are no part of an id
INTERACT = "interact"
LAST_S = 1_577_836_800  # 2020-01-01 UTC, the nominal time of every user's last action
_LONGEST_S = LAST_S - DAY_S  # the first action of the longest history stays after 1970
_INTEGER = r"^(0|-?[1-9][0-9]{0,17})$"
_QUOTED = r'^"(.*)"$'
# `user_id`, and as RecBole writes it `user_id:token`
_USER_NAME = r"(?i)^(uid|(user|visitor|customer|session)s?([_-]?id)?)(:token)?$"
_ITEM_NAME = r"(?i)^(iid|(item|product|article|movie|book)s?([_-]?id)?)(:token)?$"
NOTES = (
    "the file has an order but no times: time_known is false and every time feature is masked",
    "a timestamp is only a place in the order: every user's last action stands at 2020-01-01, the "
    "one before it one nominal day earlier, and so on; no step may learn from such a time, so the "
    "lifecycle, which splits its data in time, refuses a log without any known time",
    "every line is one positive action of the one type `interact`",
)


def recognises(path: Path) -> bool:
    """Whether ``path`` is a file whose first line that is not blank holds two words."""
    return path.is_file() and len((first_line(path) or "").replace(",", " ").split()) == 2


def first_line(path: Path) -> str | None:
    """The file's first line that is not blank; None where there is none or it is no text."""
    with path.open("rb") as stream:
        lines = iter(lambda: stream.readline(4096), b"")
        first = next((line for line in lines if line.strip()), b"")
    try:
        return first.decode("utf-8-sig").strip() or None
    except UnicodeDecodeError:
        return None


def sources(path: Path) -> list[Path]:
    """The files that are read."""
    return [path]


def tables(path: Path) -> tuple[DatasetSpec, dict[str, pl.DataFrame]]:
    """Read the specification and the canonical actions (times in nominal milliseconds)."""
    pairs, notes = _without_header(path, _read_pairs(path))
    pairs = _with_integers(pairs)
    place = pl.int_range(pl.len()).over(USER_ID)  # 0 is the user's first line
    length = pl.len().over(USER_ID)
    longest = pairs[USER_ID].value_counts()["count"].max()
    step_s = min(DAY_S, _LONGEST_S // longest)
    actions = pairs.with_columns(
        pl.lit(INTERACT).alias(ACTION_TYPE),
        ((LAST_S - (length - 1 - place).cast(pl.Int64) * step_s) * 1000).alias(TIMESTAMP),
        pl.lit(False).alias(TIME_KNOWN),
    )
    spec = DatasetSpec(
        name=re.sub(r"\W+", "-", path.name.split(".")[0]).strip("-") or NAME,
        files={ACTIONS: "actions.parquet"},
        span=(LAST_S - longest * step_s, LAST_S + 1),
        positive=(INTERACT,),
        notes=(*NOTES, *notes),
    )
    return spec, {ACTIONS: actions}


def _read_pairs(path: Path) -> pl.DataFrame:
    lines = pl.read_csv(
        path, has_header=False, separator="\x01", quote_char=None, infer_schema=False, glob=False
    ).to_series()
    parts = (
        pl.DataFrame({"line": lines})
        .with_row_index("number", 1)
        .with_columns(
            pl.col("line")
            .str.strip_chars("\ufeff \t\r")
            .str.replace_all(r"[\s,]+", " ")
            .str.split(" ")
            .alias("words")
        )
        .filter(pl.col("line").str.strip_chars() != "")
    )
    wrong = parts.filter(pl.col("words").list.len() != 2)
    if wrong.height:
        number, text = wrong.row(0)[:2]
        raise DatasetError(
            f"{path}:{number} is {text[:60]!r}; every line must hold `user item`, two words"
        )
    words = pl.col("words").list
    return parts.select(
        words.get(0).str.replace(_QUOTED, "$1").alias(USER_ID),
        words.get(1).str.replace(_QUOTED, "$1").alias(ITEM_ID),
    )


def _without_header(path: Path, pairs: pl.DataFrame) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The pairs less a first line that names the columns, and the note that says so."""
    first, rest = pairs.row(0), pairs[1:]
    if not _is_header(first, rest):
        return pairs, ()
    if rest.is_empty():
        raise DatasetError(f"{path} holds a header and no `user item` line; export it again")
    return rest, (f"the first line, `{' '.join(first)}`, names the columns and is no action",)


def _is_header(first: tuple[str, str], rest: pl.DataFrame) -> bool:
    """Whether the first line can hardly be an action: the line of a log is never lost on a guess.

    Both words are names of such columns and no ids that come again, or neither has a digit where
    all that follows is whole numbers.
    """
    user, item = first
    if re.match(_USER_NAME, user) and re.match(_ITEM_NAME, item):
        return not ((rest[USER_ID] == user) | (rest[ITEM_ID] == item)).any()
    has_digit = any(character.isdigit() for character in user + item)
    return not has_digit and rest.height > 0 and len(_whole(rest)) == 2


def _with_integers(pairs: pl.DataFrame) -> pl.DataFrame:
    return pairs.with_columns(pl.col(_whole(pairs)).cast(pl.Int64))


def _whole(pairs: pl.DataFrame) -> list[str]:
    """The columns whose every id an integer gives back unchanged."""
    return [column for column in pairs.columns if pairs[column].str.contains(_INTEGER).all()]
