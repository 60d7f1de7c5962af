"""What the feature store keeps of a user beside vectors: the last actions, and what was shown.

Both as of one midnight, newest first, ids typed; the event log goes on from there. An action that
became available after that midnight is left to the log, so the watermark stays below its number.
"""

from pathlib import Path

import numpy as np
import polars as pl

from homefeed.data.contract import Dataset
from homefeed.data.familiarity import LAST_ACTIONS, REMEMBERED_S
from homefeed.data.sequences import SequenceStore
from homefeed.schema import IMPRESSIONS, ITEM_ID, TIMESTAMP, USER_ID

SEQUENCES = "sequences.parquet"
SEQUENCE_LENGTH = LAST_ACTIONS  # actions in a row
SHOWN_LENGTH = 200  # shown items in a row
NO_SHOWINGS = {"shown_items": pl.List(pl.String), "shown_ms": pl.List(pl.Int64)}


def write_sequences(path: Path, store: SequenceStore, dataset: Dataset, as_of_s: int) -> None:
    """One row per user who has acted: their last actions available by ``as_of_s``, and the items
    that impressions showed them lately. Times that the log does not know keep their flag.
    """
    users = np.flatnonzero(np.asarray(store.length) > 0).astype(np.int32)
    rows = _actions(store, users, as_of_s)
    if dataset.has(IMPRESSIONS):
        rows = rows.join(_showings(store, dataset, as_of_s), on="user", how="left")
        rows = rows.with_columns(pl.col(*NO_SHOWINGS).fill_null([]))
    else:
        empty = [pl.lit([], dtype).alias(name) for name, dtype in NO_SHOWINGS.items()]
        rows = rows.with_columns(empty)
    typed = store.users.typed(rows["user"].to_numpy())
    rows.drop("user").insert_column(0, pl.Series("user_id", typed)).write_parquet(path)


def _actions(store: SequenceStore, users: np.ndarray, as_of_s: int) -> pl.DataFrame:
    before_s = np.full(len(users), as_of_s + 1, np.int64)
    positions = store.last_available(users, before_s, SEQUENCE_LENGTH)  # [U, L]
    row, column = np.nonzero(positions >= 0)
    at = positions[row, column]
    columns = {
        "item_ids": _typed_items(store)[store.item[at]],
        "action_types": np.array(store.meta.action_types, object)[store.action[at]],
        "surfaces": np.array(store.meta.surfaces, object)[store.surface[at]],
        "times_s": store.time_s[at].astype(np.int64),
        "durations_s": store.duration[at].astype(np.float32),
        "flags": store.flags[at].astype(np.int32),
    }
    named = {name: pl.Series(name, list(values)) for name, values in columns.items()}
    frame = pl.DataFrame({"user": users[row], **named})
    return frame.group_by("user", maintain_order=True).agg(pl.all())


def _showings(store: SequenceStore, dataset: Dataset, as_of_s: int) -> pl.DataFrame:
    """Per user the items shown within the remembered time, each once with its last time."""
    first_ms, last_ms = 1000 * (as_of_s - REMEMBERED_S), 1000 * as_of_s
    shown = (
        dataset.scan(IMPRESSIONS)
        .filter((pl.col(TIMESTAMP) > first_ms) & (pl.col(TIMESTAMP) <= last_ms))
        .select(USER_ID, ITEM_ID, TIMESTAMP)
        .collect()
    )
    item = store.items.indices(shown[ITEM_ID])
    frame = pl.DataFrame(
        {
            "user": store.users.indices(shown[USER_ID]),
            "shown_items": pl.Series(_typed_items(store)[item], dtype=pl.String),
            "shown_ms": shown[TIMESTAMP].cast(pl.Int64),
            "item": item,
        }
    )
    return (
        frame.filter((pl.col("user") > 0) & (pl.col("item") > 0))
        .group_by("user", "shown_items")
        .agg(pl.col("shown_ms").max())
        .sort("user", "shown_ms", "shown_items", descending=[False, True, False])
        .group_by("user", maintain_order=True)
        .agg(pl.all().head(SHOWN_LENGTH))
    )


def _typed_items(store: SequenceStore) -> np.ndarray:
    """Typed id of every item index; the empty text for 0."""
    return np.array(["", *store.items.typed(np.arange(1, store.meta.item_count + 1))], object)
