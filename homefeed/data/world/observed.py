"""What a log shows of the items: noisy content, a filed category, a few words. Not the truth."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from homefeed import schema
from homefeed.clock import DAY_S
from homefeed.data.world.config import WorldConfig
from homefeed.data.world.hashing import choice, normal, uniform
from homefeed.data.world.truth import World
from homefeed.errors import UnknownIdError

PREFIX = "pin-"
FIRST_USER = 10_001  # external user ids are integers, external item ids are strings
WORDS = 8  # words of an item's text at most
SYLLABLES = ("ba", "do", "ki", "lu", "me", "no", "pa", "ri", "so", "ta", "vu", "ze")


def user_ids(index: np.ndarray) -> pl.Series:
    """External ids of user indices."""
    return pl.Series(np.asarray(index, np.int64) + FIRST_USER)


def item_ids(index: np.ndarray) -> pl.Series:
    """External ids of item indices."""
    number = pl.Series(np.asarray(index, np.int64)).cast(pl.String)
    return PREFIX + number.str.zfill(6)


def item_id(index: int) -> str:
    """The external id of one item."""
    return f"{PREFIX}{index:06d}"


def item_indices(external_ids: Sequence[str], items: int) -> np.ndarray:
    """int64[n]: the inverse of ``item_ids``; UnknownIdError beyond the world's ``items``."""
    out = np.empty(len(external_ids), np.int64)
    for place, one in enumerate(external_ids):
        digits = str(one).removeprefix(PREFIX)
        if not digits.isdecimal() or int(digits) >= items:
            raise UnknownIdError(
                f"the world has no item {one!r}; its ids are {item_id(0)} to {item_id(items - 1)}"
            )
        out[place] = int(digits)
    return out


def filed_category(world: World) -> np.ndarray:
    """int64[I]: the category under which each item is filed, now and then a wrong one."""
    config = world.config
    item = np.arange(config.all_items)
    other = choice(np.cumsum(world.items.prevalence), uniform(config.seed, "item-misfiled", item))
    wrong = uniform(config.seed, "item-filed", item) < config.laws.category_noise
    return np.where(wrong, other, world.items.topic)


def items_table(world: World, from_s: int, to_s: int) -> pl.DataFrame:
    """The items created in ``from_s`` <= t < ``to_s``, as the dataset contract has them."""
    created_s = world.items.created_s
    item = np.flatnonzero((created_s >= from_s) & (created_s < to_s))
    category = pl.Series(filed_category(world)[item]).cast(pl.String)
    content = pl.Series(_content(world, item), dtype=pl.Array(pl.Float32, _dim(world.config)))
    return pl.DataFrame(
        {
            schema.ITEM_ID: item_ids(item),
            schema.TEXT: _text(world, item),
            schema.CATEGORIES: ("topic-" + category.str.zfill(2)).reshape((-1, 1)).arr.to_list(),
            schema.CONTENT: content.arr.to_list(),
            schema.CREATED_AT: created_s[item] * 1000,
        }
    )


def _dim(config: WorldConfig) -> int:
    return config.laws.content_dim


def _content(world: World, item: np.ndarray) -> np.ndarray:
    """float32[n, content_dim]: where the topics point, under noise that hides the details."""
    config, laws = world.config, world.config.laws
    axis = np.arange(laws.content_dim)
    topic = normal(config.seed, "content-topic", np.arange(laws.topics)[:, None], axis)
    noise = normal(config.seed, "content-noise", item[:, None], axis)
    return (world.items.mixture[item] @ topic + laws.content_noise * noise).astype(np.float32)


def _text(world: World, item: np.ndarray) -> pl.Series:
    """A few words: some of the item's topics, some that say nothing."""
    config = world.config
    slot = np.arange(WORDS)
    topic = choice(
        np.cumsum(world.items.mixture[item], axis=1)[:, None, :],
        uniform(config.seed, "text-topic", item[:, None], slot),
    )
    telling = uniform(config.seed, "text-telling", item[:, None], slot) < 0.55
    which = uniform(config.seed, "text-word", item[:, None], slot)
    number = np.where(telling, 200 + 15 * topic + (15 * which).astype(int), 200 * which)
    length = 4 + (uniform(config.seed, "text-length", item) * (WORDS - 3)).astype(int)
    return pl.Series(
        [
            " ".join(_word(n) for n in row[:count])
            for row, count in zip(number.astype(int).tolist(), length.tolist(), strict=True)
        ],
        dtype=pl.String,
    )


def _word(number: int) -> str:
    """A pronounceable word for a number; different numbers make different words."""
    parts = []
    for _ in range(3):
        number, rest = divmod(number, len(SYLLABLES))
        parts.append(SYLLABLES[rest])
    return "".join(parts)


def collections_table(world: World, from_s: int, to_s: int) -> pl.DataFrame:
    """Boards coherent in topic; the rows whose item was added in ``from_s`` <= t < ``to_s``."""
    config, every = world.config, world.items
    board = np.arange(config.items // 4)
    topic = choice(np.cumsum(every.prevalence), uniform(config.seed, "board-topic", board))
    slot = np.arange(40)
    size = np.clip(12 * np.exp(0.6 * normal(config.seed, "board-size", board)), 3, 40)
    draw = uniform(config.seed, "board-item", board[:, None], slot)
    stray = uniform(config.seed, "board-stray", board[:, None], slot) < 0.1
    weight = np.exp(every.quality)
    items = (draw * config.all_items).astype(np.int64)  # strays come from anywhere
    for one in np.unique(topic):
        table = np.cumsum(every.mixture[:, one] ** 2 * weight)
        rows = topic == one
        inside = np.searchsorted(table, draw[rows] * table[-1])
        items[rows] = np.where(stray[rows], items[rows], inside)
    wait_s = -np.log(uniform(config.seed, "board-wait", board[:, None], slot)) * 10 * DAY_S
    added_s = every.created_s[items] + wait_s.astype(np.int64)
    kept = (slot < size[:, None]) & (added_s >= from_s) & (added_s < to_s)
    row, column = np.nonzero(kept)
    table = pl.DataFrame(
        {
            schema.COLLECTION_ID: "board-" + pl.Series(row).cast(pl.String).str.zfill(5),
            schema.ITEM_ID: item_ids(items[row, column]),
            schema.TIMESTAMP: added_s[row, column] * 1000,
        }
    )
    keys = [schema.COLLECTION_ID, schema.ITEM_ID]
    return table.sort(schema.TIMESTAMP, maintain_order=True).unique(
        keys, keep="first", maintain_order=True
    )
