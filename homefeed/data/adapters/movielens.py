"""MovieLens (GroupLens): ratings.csv and movies.csv, or the older ratings.dat and movies.dat."""

from pathlib import Path

import polars as pl

from homefeed.data.adapters.span import span_of
from homefeed.data.specification import DatasetSpec
from homefeed.schema import (
    ACTION_TYPE,
    ACTIONS,
    CATEGORIES,
    ITEM_ID,
    ITEMS,
    TEXT,
    TIMESTAMP,
    USER_ID,
)

NAME = "movielens"
VERSION = 1
RATINGS, MOVIES = ("userId", "movieId", "rating", "timestamp"), ("movieId", "title", "genres")
NOTES = (
    "a rating of 4 or more is a positive `like`, of 2 or less a negative `dislike`, between them a "
    "neutral `rate`",
    "ratings are given in batches long after the film was seen: times are those of the rating",
    "no impressions: a ranker is trained on positives with sampled candidates",
)


def recognises(path: Path) -> bool:
    """Whether the folder holds MovieLens' ratings."""
    if (path / "ratings.dat").is_file():
        return True
    file = path / "ratings.csv"
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        return stream.readline(200).strip() == ",".join(RATINGS).encode()


def sources(path: Path) -> list[Path]:
    """The files that are read."""
    ending = "csv" if (path / "ratings.csv").is_file() else "dat"
    files = [path / f"ratings.{ending}", path / f"movies.{ending}"]
    return [file for file in files if file.is_file()]


def tables(path: Path) -> tuple[DatasetSpec, dict[str, pl.DataFrame]]:
    """Read the specification and the canonical tables (times in milliseconds UTC)."""
    files = sources(path)
    result = {ACTIONS: _actions(_read(files[0], RATINGS))}
    if len(files) > 1:
        result[ITEMS] = _items(_read(files[1], MOVIES))
    spec = DatasetSpec(
        name=NAME,
        files={table: f"{table}.parquet" for table in result},
        span=span_of(files[0], result[ACTIONS][TIMESTAMP]),
        positive=("like",),
        neutral=("rate",),
        negative=("dislike",),
        notes=NOTES,
    )
    return spec, result


def _read(file: Path, columns: tuple[str, ...]) -> pl.DataFrame:
    if file.suffix == ".csv":
        return pl.read_csv(file, infer_schema=False, glob=False).select(columns)
    text = file.read_text(encoding="latin-1").splitlines()
    fields = pl.Series("line", text).str.split("::").list
    return pl.DataFrame({name: fields.get(index) for index, name in enumerate(columns)})


def _actions(ratings: pl.DataFrame) -> pl.DataFrame:
    rating = pl.col("rating").cast(pl.Float64)
    return ratings.select(
        pl.col("userId").cast(pl.Int64).alias(USER_ID),
        pl.col("movieId").cast(pl.Int64).alias(ITEM_ID),
        pl.when(rating >= 4)
        .then(pl.lit("like"))
        .when(rating <= 2)
        .then(pl.lit("dislike"))
        .otherwise(pl.lit("rate"))
        .alias(ACTION_TYPE),
        (pl.col("timestamp").cast(pl.Int64) * 1000).alias(TIMESTAMP),
    ).sort(TIMESTAMP, maintain_order=True)


def _items(movies: pl.DataFrame) -> pl.DataFrame:
    return movies.select(
        pl.col("movieId").cast(pl.Int64).alias(ITEM_ID),
        pl.col("title").alias(TEXT),
        pl.col("genres").str.split("|").alias(CATEGORIES),
    )
