"""UCI Online Retail (Chen, Sain, Guo 2012): a year of invoices of one British gift wholesaler."""

from pathlib import Path

import polars as pl

from homefeed.data.adapters.span import span_of
from homefeed.data.specification import DatasetSpec
from homefeed.schema import (
    ACTION_TYPE,
    ACTIONS,
    COLLECTION_ID,
    COLLECTIONS,
    ITEM_ID,
    ITEMS,
    REQUEST_ID,
    TEXT,
    TIMESTAMP,
    USER_ID,
)

NAME = "online_retail"
VERSION = 1
FILE = "online_retail.parquet"
ZONE = "Europe/London"
NOTES = (
    "invoice times are read as British time; they are whole minutes, so the lines of an invoice "
    "share one time and keep the order of the log",
    "a line is one purchase whatever its quantity; lines of one invoice with the same item are "
    "exact duplicates: the check counts them and keeps one",
    "a cancellation (InvoiceNo begins with C) is a negative action",
    "lines without a customer are in no user's actions, but their baskets are collections",
    "fees and postage (POST, M, DOT, …) are items like any other, as in the published figures",
    "an item's text is its most frequent description",
    "no impressions: a ranker is trained on positives with sampled candidates",
)


def recognises(path: Path) -> bool:
    """Whether the folder holds Online Retail."""
    return (path / FILE).is_file()


def sources(path: Path) -> list[Path]:
    """The files that are read."""
    return [path / FILE]


def tables(path: Path) -> tuple[DatasetSpec, dict[str, pl.DataFrame]]:
    """Read the specification and the canonical tables (times in milliseconds UTC)."""
    (file,) = sources(path)
    lines = _lines(pl.read_parquet(file, glob=False))
    tables = {ACTIONS: _actions(lines), ITEMS: _items(lines), COLLECTIONS: _baskets(lines)}
    spec = DatasetSpec(
        name=NAME,
        files={table: f"{table}.parquet" for table in tables},
        time_zone=ZONE,
        span=span_of(file, lines[TIMESTAMP]),
        positive=("purchase",),
        negative=("cancellation",),
        notes=NOTES,
    )
    return spec, tables


def _lines(log: pl.DataFrame) -> pl.DataFrame:
    local = pl.col("InvoiceDate").str.to_datetime("%Y-%m-%d %H:%M:%S")
    cancelled = pl.col("InvoiceNo").str.starts_with("C")
    return log.select(
        pl.col("CustomerID").cast(pl.Int64).alias(USER_ID),
        pl.col("StockCode").alias(ITEM_ID),
        pl.when(cancelled)
        .then(pl.lit("cancellation"))
        .when(pl.col("Quantity") > 0)
        .then(pl.lit("purchase"))  # what is left over is a stock correction, not an action
        .alias(ACTION_TYPE),
        local.dt.replace_time_zone(ZONE, ambiguous="earliest").dt.epoch("ms").alias(TIMESTAMP),
        pl.col("InvoiceNo").alias(REQUEST_ID),
        pl.col("Description").str.strip_chars().alias(TEXT),
    )


def _actions(lines: pl.DataFrame) -> pl.DataFrame:
    columns = [USER_ID, ITEM_ID, ACTION_TYPE, TIMESTAMP, REQUEST_ID]
    return (
        lines.select(columns)
        .drop_nulls([USER_ID, ACTION_TYPE])
        .sort(TIMESTAMP, maintain_order=True)
    )


def _items(lines: pl.DataFrame) -> pl.DataFrame:
    counted = lines.group_by(ITEM_ID, TEXT, maintain_order=True).len()
    described = counted.sort(pl.col(TEXT).is_null(), -pl.col("len").cast(pl.Int64), TEXT)
    return described.unique(ITEM_ID, keep="first", maintain_order=True).select(ITEM_ID, TEXT)


def _baskets(lines: pl.DataFrame) -> pl.DataFrame:
    bought = lines.filter(pl.col(ACTION_TYPE) == "purchase")
    columns = [pl.col(REQUEST_ID).alias(COLLECTION_ID), ITEM_ID, TIMESTAMP]
    return bought.select(columns).unique(maintain_order=True)
