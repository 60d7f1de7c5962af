"""What the feature store keeps of a user beside vectors: the last actions, the items of earlier
ones, and what was shown.

All as of one midnight, newest first, ids typed; the event log goes on from there. An action that
became available after that midnight is left to the log, so the watermark stays below its number.

Shapes: U users, L actions of a row.
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
EARLIER_LENGTH = 2_000  # items acted on before a row's actions: as far as the event log is read
CHUNK_ACTIONS = 1 << 22  # earlier actions looked at together: bounds memory
NO_SHOWINGS = {"shown_items": pl.List(pl.String), "shown_ms": pl.List(pl.Int64)}
NO_EARLIER = {"earlier_items": pl.List(pl.String)}


def write_sequences(path: Path, store: SequenceStore, dataset: Dataset, as_of_s: int) -> None:
    """One row per user who has acted: their last actions available by ``as_of_s``, the items that
    they acted on before these, and the items that impressions showed them lately. Times that the
    log does not know keep their flag.
    """
    users = np.flatnonzero(np.asarray(store.length) > 0).astype(np.int32)
    before_s = np.full(len(users), as_of_s + 1, np.int64)
    positions = store.last_available(users, before_s, SEQUENCE_LENGTH)  # [U, L]
    rows = _actions(store, users, positions)
    rows = rows.join(_earlier(store, users, positions, as_of_s), on="user", how="left")
    if dataset.has(IMPRESSIONS):
        shown = _showings(store, dataset, as_of_s)
    else:
        shown = pl.DataFrame(schema={"user": pl.Int32, **NO_SHOWINGS})
    rows = rows.join(shown, on="user", how="left")
    rows = rows.with_columns(pl.col(*NO_EARLIER, *NO_SHOWINGS).fill_null([]))
    typed = store.users.typed(rows["user"].to_numpy())
    rows.drop("user").insert_column(0, pl.Series("user_id", typed)).write_parquet(path)


def _actions(store: SequenceStore, users: np.ndarray, positions: np.ndarray) -> pl.DataFrame:
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


def _earlier(
    store: SequenceStore, users: np.ndarray, positions: np.ndarray, as_of_s: int
) -> pl.DataFrame:
    """Per user the items of actions before the row's ``positions`` [U, L], each once and none that
    the row has. Only histories longer than a row are read, a bounded part at a time.
    """
    oldest = positions[:, -1]
    count = np.where(oldest >= 0, oldest - store.start[users], 0)
    longer = np.flatnonzero(count > 0)
    typed = pl.Series(_typed_items(store), dtype=pl.String)
    part = np.cumsum(count[longer]) // CHUNK_ACTIONS
    made = [pl.DataFrame(schema={"user": pl.Int32, **NO_EARLIER})]
    for some in np.split(longer, np.flatnonzero(np.diff(part)) + 1):
        user = np.repeat(users[some], count[some])
        last = np.cumsum(count[some])
        back = np.arange(len(user)) - np.repeat(last - count[some], count[some])
        at = np.repeat(oldest[some], count[some]) - 1 - back  # newest first
        told = store.available_s(at) <= as_of_s
        row = {"user": np.repeat(users[some], positions.shape[1])}
        row["item"] = store.item[positions[some].ravel()]
        found = (
            pl.DataFrame({"user": user[told], "item": store.item[at[told]]})
            .unique(maintain_order=True)
            .join(pl.DataFrame(row), on=["user", "item"], how="anti", maintain_order="left")
            .group_by("user", maintain_order=True)
            .agg(pl.col("item").head(EARLIER_LENGTH))
            .explode("item")
        )
        named = found.select("user", typed.gather(found["item"]).alias("earlier_items"))
        made.append(named.group_by("user", maintain_order=True).agg("earlier_items"))
    return pl.concat(made)


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
