"""What happens in a session beside the feed: searches, revisits, related items.

Each generator yields (surface, actions, user of each action). Their draws hang on users, items
and times alone, like every response, so that the log and a live server share this code.
"""

from collections.abc import Iterator

import numpy as np

from homefeed.data.world.hashing import uniform
from homefeed.data.world.truth import Memory, Responses, Visits, World

SEARCH_ITEMS, RELATED_ITEMS = 8, 6
SEARCH_S, REVISIT_S, RELATED_S = 90, 40, 50  # what they take; a session begins with the first

Found = tuple[str, Responses, np.ndarray]


def before_page(world: World, visits: Visits, memory: Memory) -> Iterator[Found]:
    """Searches and revisits with which a session begins, before its first page."""
    searching = visits.take(visits.searches)
    if len(searching):
        time_s = searching.time_s - SEARCH_S - REVISIT_S
        keys = (searching.user, time_s)
        items = world.organic_items("search", searching.intent, keys, SEARCH_ITEMS)
        dwell_s = np.full(len(time_s), SEARCH_S)
        yield _look(world, "search", searching, items, time_s, dwell_s, memory)

    returning = visits.take(visits.revisits)
    if len(returning):
        time_s = returning.time_s - REVISIT_S
        draw = uniform(world.config.response_seed, "revisit", returning.user, time_s)
        items = memory.recall(returning.user, draw)[:, None].astype(np.int64)
        dwell_s = np.full(len(time_s), REVISIT_S)
        yield _look(world, "search", returning, items, time_s, dwell_s, None)


def after_page(world: World, visits: Visits, found: Responses, memory: Memory) -> Iterator[Found]:
    """Looks at related items to which positive actions on the feed lead on."""
    config = world.config
    over_s = found.time_s + np.ceil(found.duration_s).astype(np.int64) + 2
    left_s = (visits.time_s + visits.dwell_s)[found.row] - over_s
    draw = uniform(
        config.response_seed, "related", visits.user[found.row], found.item, found.time_s
    )
    leads = found.positive & (left_s >= RELATED_S) & (draw < config.laws.related_share)
    first = np.unique(found.row[leads], return_index=True)[1]  # one excursion a page
    start = found.take(np.flatnonzero(leads)[first])
    if not len(start):
        return
    rows, time_s = visits.take(start.row), over_s[leads][first]
    topic = world.related_topic(
        start.item, uniform(config.response_seed, "related-topic", rows.user, start.item, time_s)
    )
    items = world.organic_items("related", topic, (rows.user, time_s), RELATED_ITEMS)
    items = np.where(items == start.item[:, None], -1, items)
    yield _look(world, "related", rows, items, time_s, np.full(len(time_s), RELATED_S), memory)


def _look(
    world: World,
    surface: str,
    visits: Visits,
    items: np.ndarray,
    time_s: np.ndarray,
    dwell_s: np.ndarray,
    memory: Memory | None,
) -> Found:
    """Responses of ``visits`` to lists of items [B, n] at ``time_s`` [B]."""
    positions = np.broadcast_to(np.arange(1, items.shape[1] + 1), items.shape)
    found = world.respond(visits.user, items, positions, time_s, visits.intent, dwell_s, memory)
    if memory is not None:
        memory.see(visits.user, items, time_s)
    return surface, found, visits.user[found.row]
