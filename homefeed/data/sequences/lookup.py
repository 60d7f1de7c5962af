"""Vectorised questions to a sequence store: where does a time fall, what was available then.

R requests, L wanted actions. Positions are rows of the store. All work is per chunk of requests,
so memory does not grow with R, and only the pages that are needed are read.
"""

import numpy as np

from homefeed.data.sequences.layout import delay_s

CHUNK_REQUESTS = 4096  # 100 positions each stay in cache
CHUNK_ROWS = 1 << 22  # rows looked at together when availability is in doubt


def first_at_or_after(
    time_s: np.ndarray, begin: np.ndarray, end: np.ndarray, bound_s: np.ndarray
) -> np.ndarray:
    """First position in [begin, end) whose time is at or after bound, else end; int64[R].

    One binary search per request, all in step: log2 of the longest history rounds.
    """
    low, high = begin.astype(np.int64), end.astype(np.int64)
    open_ = np.flatnonzero(low < high)
    while len(open_):
        middle = (low[open_] + high[open_]) >> 1
        earlier = time_s[middle] < bound_s[open_]
        low[open_[earlier]] = middle[earlier] + 1
        high[open_[~earlier]] = middle[~earlier]
        open_ = open_[low[open_] < high[open_]]
    return low


def last_available(
    columns: tuple[np.ndarray, np.ndarray, np.ndarray],
    begin: np.ndarray,
    end: np.ndarray,
    longest_delay_s: np.ndarray,
    before_s: np.ndarray,
    count: int,
) -> np.ndarray:
    """Positions int64[R, L], newest first, -1 padding, of actions available before ``before_s``.

    ``columns`` are time_s, duration and late_min of the store; ``begin``, ``end`` [R] the rows of
    each request's user; ``longest_delay_s`` [R] the longest delay of any action of that user.

    Actions older than before_s − longest delay are certainly available; only those between there
    and before_s are looked at one by one.
    """
    found = np.empty((len(begin), count), dtype=np.int64)
    columns = tuple(np.asarray(column) for column in columns)  # memmap objects index slowly
    time_s = columns[0]
    for first in range(0, len(begin), CHUNK_REQUESTS):
        part = slice(first, first + CHUNK_REQUESTS)
        newest = first_at_or_after(time_s, begin[part], end[part], before_s[part])
        sure = first_at_or_after(
            time_s, begin[part], newest, before_s[part] - longest_delay_s[part]
        )
        _fill(columns, begin[part], sure, newest, before_s[part], found[part])
    return found


def _fill(
    columns: tuple[np.ndarray, np.ndarray, np.ndarray],
    begin: np.ndarray,
    sure: np.ndarray,
    newest: np.ndarray,
    before_s: np.ndarray,
    found: np.ndarray,
) -> None:
    """Write ``found`` [R, L]: available ones of [sure, newest), then those of [begin, sure)."""
    doubtful = [
        _available(columns, sure[part], newest[part], before_s[part], part.start)
        for part in _row_chunks(newest - sure)
    ]
    request = np.concatenate([rows for rows, _ in doubtful])
    position = np.concatenate([rows for _, rows in doubtful])
    taken = np.bincount(request, minlength=len(begin))
    # In place, because temporaries of this size cost more than the arithmetic.
    np.subtract((sure - 1 + taken)[:, None], np.arange(found.shape[1]), out=found)
    np.copyto(found, -1, where=found < begin[:, None])
    slot = np.arange(len(request)) - np.repeat(np.cumsum(taken) - taken, taken)
    fits = slot < found.shape[1]
    found[request[fits], slot[fits]] = position[fits]


def _available(
    columns: tuple[np.ndarray, np.ndarray, np.ndarray],
    sure: np.ndarray,
    newest: np.ndarray,
    before_s: np.ndarray,
    first_request: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Requests and positions int64[k] of the available ones of [sure, newest), newest first."""
    time_s, duration, late_min = columns
    lengths = newest - sure
    request = np.repeat(np.arange(len(lengths)), lengths)
    step = np.arange(len(request)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    position = newest[request] - 1 - step
    available_s = time_s[position] + delay_s(duration[position], late_min[position])
    ok = available_s < before_s[request]
    return request[ok] + first_request, position[ok]


def _row_chunks(lengths: np.ndarray) -> list[slice]:
    """Consecutive requests whose rows together stay below CHUNK_ROWS (or a single request)."""
    if lengths.sum() <= CHUNK_ROWS:
        return [slice(0, len(lengths))]
    chunks, first, rows = [], 0, 0
    for index, length in enumerate(lengths.tolist()):
        if rows and rows + length > CHUNK_ROWS:
            chunks.append(slice(first, index))
            first, rows = index, 0
        rows += length
    return [*chunks, slice(first, len(lengths))]
