"""CI&T Deskdrop (Kaggle, gspmoreira): a year of article reading in one firm, five action types.

The titles and texts are not part of the files at hand, so there is no items table.
"""

from pathlib import Path

import polars as pl

from homefeed.data.adapters.span import span_of
from homefeed.data.specification import DatasetSpec
from homefeed.schema import ACTION_TYPE, ACTIONS, ITEM_ID, TIMESTAMP, USER_ID

NAME = "deskdrop"
VERSION = 1
FILES = ("users_interactions.csv.gz", "users_interactions.csv")

ACTION_TYPES = {
    "VIEW": "view",
    "LIKE": "like",
    "BOOKMARK": "bookmark",
    "COMMENT CREATED": "comment",
    "FOLLOW": "follow",
}
NOTES = (
    "VIEW is a click-through (nothing shown and left alone is recorded), so all five action types "
    "are positive",
    "no impressions: a ranker is trained on positives with sampled candidates",
    "user agent, region, country and session id are not read",
)


def recognises(path: Path) -> bool:
    """Whether the folder holds Deskdrop's interactions."""
    return any((path / name).is_file() for name in FILES)


def sources(path: Path) -> list[Path]:
    """The files that are read."""
    return [next(path / name for name in FILES if (path / name).is_file())]


def tables(path: Path) -> tuple[DatasetSpec, dict[str, pl.DataFrame]]:
    """Read the specification and the canonical tables (times in milliseconds UTC)."""
    (file,) = sources(path)
    columns = ["timestamp", "eventType", "contentId", "personId"]
    types = {"timestamp": pl.Int64, "contentId": pl.Int64, "personId": pl.Int64}
    log = pl.read_csv(file, columns=columns, schema_overrides=types, glob=False)
    actions = log.select(
        pl.col("personId").alias(USER_ID),
        pl.col("contentId").alias(ITEM_ID),
        # A type that is not among the five stays as found: the check sets it aside by name.
        pl.col("eventType").replace(ACTION_TYPES).alias(ACTION_TYPE),
        (pl.col("timestamp") * 1000).alias(TIMESTAMP),
    ).sort(TIMESTAMP, maintain_order=True)
    spec = DatasetSpec(
        name=NAME,
        files={ACTIONS: "actions.parquet"},
        span=span_of(file, actions[TIMESTAMP]),
        positive=("like", "bookmark", "comment", "follow", "view"),
        notes=NOTES,
    )
    return spec, {ACTIONS: actions}
