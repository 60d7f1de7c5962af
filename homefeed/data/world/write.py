"""Writes the world as a dataset folder of the contract: dataset.yaml and four Parquet tables."""

from pathlib import Path

import numpy as np
import polars as pl

from homefeed import schema
from homefeed.clock import DAY_S
from homefeed.data.contract import Dataset, DatasetSpec, write_dataset
from homefeed.data.world.config import WorldConfig
from homefeed.data.world.hashing import uniform
from homefeed.data.world.log import SURFACES, LogColumns, Simulation
from homefeed.data.world.observed import collections_table, item_ids, items_table, user_ids
from homefeed.data.world.truth import ACTION_TYPES, LONG_S, World

LABELS = ("save", "click", "closeup", "hide")
LATE_SHARE = 0.01  # actions that arrive hours after they happened


def write_world(out: Path, config: WorldConfig) -> Dataset:
    """Write the log of ``config`` as a dataset folder at ``out`` and open it.

    Equal configurations make equal bytes. Raises StorageError where the disk is full.
    """
    world = World(config)
    simulation = Simulation(world)
    simulation.run(-config.warmup_days, 0)
    log = simulation.run(0, config.days)
    span = (config.start_s, config.end_s)
    return _write(out, world, log, span, items_from_s=-(10**12))


def write_world_day(out: Path, config: WorldConfig, day: int) -> Dataset:
    """Write one day after the log (``config.days`` is the first) under the logging policy.

    The folder holds that day's actions and impressions, and the items and collection rows that
    are new on it. The days before are simulated again, so it costs what ``write_world`` costs.
    """
    world = World(config)
    simulation = Simulation(world)
    simulation.run(-config.warmup_days, day)
    log = simulation.run(day, day + 1)
    start_s = config.start_s + day * DAY_S
    return _write(out, world, log, (start_s, start_s + DAY_S), items_from_s=start_s)


def _write(
    out: Path, world: World, log: LogColumns, span: tuple[int, int], *, items_from_s: int
) -> Dataset:
    tables = {
        schema.ACTIONS: _actions(world, log, span),
        schema.ITEMS: items_table(world, items_from_s, span[1]),
        schema.COLLECTIONS: collections_table(world, items_from_s, span[1]),
        schema.IMPRESSIONS: _impressions(log),
    }
    return write_dataset(Path(out), _spec(span), tables)


def _spec(span: tuple[int, int]) -> DatasetSpec:
    return DatasetSpec(
        name="world",
        files={},
        span=span,
        positive=("save", "click", "closeup"),
        negative=("hide",),
        min_duration_s={"closeup": LONG_S},
        labels=LABELS,
        primary_label="save",
        live=True,
    )


def _request_ids(user: np.ndarray, time_s: np.ndarray) -> pl.Series:
    """A user makes one request at a time: the two name it."""
    return "r" + user_ids(user).cast(pl.String) + "-" + pl.Series(time_s).cast(pl.String)


def _actions(world: World, log: LogColumns, span: tuple[int, int]) -> pl.DataFrame:
    """The actions inside the span; what a midnight cut off is lost, as in any day's log."""
    column = log.joined("actions")
    types = pl.Series(ACTION_TYPES)[column["action"]]
    on_feed = pl.Series(column["request_s"] >= 0)
    user, time_s, item = column["user"], column["time_s"], column["item"]
    end_s = time_s + np.ceil(column["duration_s"]).astype(np.int64)
    seed = world.config.log_seed
    late = uniform(seed, "arrives-late", user, item, time_s, column["action"])
    hours = 6 * uniform(seed, "arrives-when", user, item, time_s)
    wait_s = np.where(late < LATE_SHARE, (hours * 3600).astype(np.int64), 2)
    table = pl.DataFrame(
        {
            schema.USER_ID: user_ids(user),
            schema.ITEM_ID: item_ids(item),
            schema.ACTION_TYPE: types,
            schema.TIMESTAMP: time_s * 1000,
            schema.SURFACE: pl.Series(SURFACES)[column["surface"]],
            schema.DURATION_S: column["duration_s"].astype(np.float32),
            schema.REQUEST_ID: _request_ids(user, column["request_s"]),
            schema.ARRIVED_AT: (end_s + wait_s) * 1000,
        }
    ).with_columns(
        pl.when(on_feed).then(pl.col(schema.REQUEST_ID)).alias(schema.REQUEST_ID),
        pl.concat_str(["user_id", "timestamp", "item_id", "action_type"], separator="-").alias(
            schema.EVENT_ID
        ),
    )
    inside = pl.col(schema.TIMESTAMP).is_between(span[0] * 1000, span[1] * 1000, closed="left")
    return table.filter(inside).sort(
        [schema.TIMESTAMP, schema.USER_ID, schema.EVENT_ID], maintain_order=True
    )


def _impressions(log: LogColumns) -> pl.DataFrame:
    column = log.joined("impressions")
    labels = {
        name: column["labels"][:, ACTION_TYPES.index(name)].astype(np.int8) for name in LABELS
    }
    return pl.DataFrame(
        {
            schema.REQUEST_ID: _request_ids(column["user"], column["time_s"]),
            schema.USER_ID: user_ids(column["user"]),
            schema.ITEM_ID: item_ids(column["item"]),
            schema.TIMESTAMP: column["time_s"] * 1000,
            schema.POSITION: column["position"].astype(np.int32),
            schema.SURFACE: pl.Series(["home"]).new_from_index(0, len(column["user"])),
            schema.PROPENSITY: column["propensity"],
            **labels,
        }
    ).sort([schema.TIMESTAMP, schema.USER_ID, schema.POSITION], maintain_order=True)
