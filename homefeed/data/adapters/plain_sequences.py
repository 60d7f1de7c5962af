"""A plain ``user item`` text file: one action a line, each user's lines in chronological order.

The form in which SASRec's data sets circulate (ML-1M, Beauty, Steam, Video). There are no times.
"""

import re
from pathlib import Path

import polars as pl

from homefeed.data.specification import DatasetSpec
from homefeed.errors import DatasetError
from homefeed.schema import ACTION_TYPE, ACTIONS, ITEM_ID, TIME_KNOWN, TIMESTAMP, USER_ID

NAME = "sequences"
VERSION = 2  # the notes say that nothing learns from such times
INTERACT = "interact"
DAY_S = 86_400
LAST_S = 1_577_836_800  # 2020-01-01 UTC, the nominal time of every user's last action
_LONGEST_S = LAST_S - DAY_S  # the first action of the longest history stays after 1970
_INTEGER = r"^(0|-?[1-9][0-9]{0,17})$"
NOTES = (
    "the file has an order but no times: time_known is false and every time feature is masked",
    "a timestamp is only a place in the order: every user's last action stands at 2020-01-01, the "
    "one before it one nominal day earlier, and so on; no step may learn from such a time, so the "
    "lifecycle, which splits its data in time, refuses a log without any known time",
    "every line is one positive action of the one type `interact`",
)


def recognises(path: Path) -> bool:
    """Whether ``path`` is a file whose first line holds two words."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        first = stream.readline(4096)
    try:
        return len(first.decode("utf-8-sig").replace(",", " ").split()) == 2
    except UnicodeDecodeError:
        return False


def sources(path: Path) -> list[Path]:
    """The files that are read."""
    return [path]


def tables(path: Path) -> tuple[DatasetSpec, dict[str, pl.DataFrame]]:
    """Read the specification and the canonical actions (times in nominal milliseconds)."""
    pairs = _read_pairs(path)
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
        notes=NOTES,
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
        .filter(pl.col("line").is_not_null())
    )
    wrong = parts.filter(pl.col("words").list.len() != 2)
    if wrong.height:
        number, text = wrong.row(0)[:2]
        raise DatasetError(
            f"{path}:{number} is {text[:60]!r}; every line must hold `user item`, two words"
        )
    pairs = parts.select(
        pl.col("words").list.get(0).alias(USER_ID), pl.col("words").list.get(1).alias(ITEM_ID)
    )
    whole = [c for c in pairs.columns if pairs[c].str.contains(_INTEGER).all()]
    return pairs.with_columns(pl.col(whole).cast(pl.Int64))
