"""Dense all-action sampling (PinnerFormer, KDD'22, 3.4.3 and 3.5): timelines → (position, target).

Each step takes users in a keyed shuffle. Of each user's timeline one sub-sequence is cut, ending
at a random position that has a positive in its own next K days; its newest action and further
random positions each predict ONE random positive out of their own window. Windows are clipped at
the end of training time. Everything is keyed by (seed, step, user), so all workers can compute the
whole plan alike and none depends on how many there are.

An action of unknown time carries an upper bound as its time: what follows the bound surely
followed the action, so its window may start there; it can never be a target itself.

Shapes: U users, A timeline actions, P positives, B sampled users, M history length, Q positions.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from homefeed.clock import DAY_S
from homefeed.errors import DatasetError
from homefeed.models.history import ActionColumns
from homefeed.schema import PADDING, ActionFlag
from homefeed.training.keyed_random import keyed_bits, keyed_integers, keyed_permutation

_CHUNK_ACTIONS = 1 << 22
_USER_STRIDE = np.int64(1 << 33)  # above every uint32 time: (user, time) in one sortable integer


class TimelineStore(ActionColumns, Protocol):
    """What a fit reads of a sequence store: its columns, whose they are, when they were known."""

    meta: Any  # StoreMeta: counts, names, hashes
    start: np.ndarray  # int64 [users + 1] first store position of each user
    length: np.ndarray  # int32 [users + 1]

    def available_s(self, rows: np.ndarray) -> np.ndarray:
        """Seconds int64 [n] from which on the actions at ``rows`` count."""
        ...


@dataclass(frozen=True, kw_only=True)
class Timelines:
    """What training may see: actions of training users that were known by ``before_s``."""

    user: np.ndarray  # (U,) int64 user index, each with at least one position that has a target
    row: np.ndarray  # (A,) int64 store positions, user after user, oldest first
    start: np.ndarray  # (U + 1,) int64 into row
    valid: np.ndarray  # (A,) bool: has a positive in its own window
    valid_row: np.ndarray  # all indices into row that are valid, ascending
    valid_start: np.ndarray  # (U + 1,) int64 into valid_row
    positive_key: np.ndarray  # (P,) int64 user * stride + time, ascending
    positive_item: np.ndarray  # (P,) int64
    key: np.ndarray  # (A,) int64 user * stride + time
    known_item: np.ndarray  # (I + 1,) bool: seen by before_s, by anybody
    before_s: int
    window_s: int


def build_timelines(
    store: TimelineStore, train_users: np.ndarray, *, before_s: int, window_days: float
) -> Timelines:
    """Read timelines up to ``before_s`` (inclusive; an action that arrived later is left out).

    train_users int [U]: user indices. Raises DatasetError where no user has anything to predict.
    """
    owner, row = _usable_rows(store, np.sort(np.asarray(train_users, dtype=np.int64)), before_s)
    window_s = round(window_days * DAY_S)
    key = owner * _USER_STRIDE + np.asarray(store.time_s)[row].astype(np.int64)
    flags = np.asarray(store.flags)[row]
    timed = (flags & ActionFlag.TIME_UNKNOWN) == 0
    positive = ((flags & ActionFlag.POSITIVE) != 0) & timed
    positive_key = key[positive]
    positive_item = np.asarray(store.item)[row[positive]].astype(np.int64)
    first, last = _window(positive_key, key, before_s, window_s)
    valid = last > first
    useful = np.zeros(len(store.start), dtype=bool)
    useful[owner[valid]] = True
    if not useful.any():
        raise DatasetError(
            f"no training user has a positive action after another action by {before_s} "
            f"(found {len(row):,} actions of {len(train_users):,} users, {positive.sum():,} of "
            "them positive); give more days of data, or more positive action types"
        )
    keep = useful[owner]
    owner, row, key, valid = owner[keep], row[keep], key[keep], valid[keep]
    user, start = np.unique(owner, return_index=True)
    start = np.append(start, len(row))
    valid_row = np.flatnonzero(valid)
    return Timelines(
        user=user,
        row=row,
        start=start,
        valid=valid,
        valid_row=valid_row,
        valid_start=np.searchsorted(valid_row, start),
        positive_key=positive_key,
        positive_item=positive_item,
        key=key,
        known_item=_known_items(store, before_s),
        before_s=before_s,
        window_s=window_s,
    )


def _known_items(store: TimelineStore, before_s: int) -> np.ndarray:
    """Mask bool[I + 1] of items that anybody acted on by ``before_s``."""
    known = np.zeros(store.meta.item_count + 1, dtype=bool)
    for first in range(0, len(store.item), _CHUNK_ACTIONS):
        row = np.arange(first, min(first + _CHUNK_ACTIONS, len(store.item)))
        usable = (store.time_s[row] <= before_s) & (store.available_s(row) <= before_s)
        known[np.asarray(store.item)[row[usable]]] = True
    known[PADDING] = False
    return known


def _usable_rows(
    store: TimelineStore, users: np.ndarray, before_s: int
) -> tuple[np.ndarray, np.ndarray]:
    """(user of each action, its store position) of what was known by ``before_s``."""
    start = np.asarray(store.start)[users].astype(np.int64)
    length = np.asarray(store.length)[users].astype(np.int64)
    row = np.repeat(start - (np.cumsum(length) - length), length) + np.arange(length.sum())
    owner = np.repeat(users.astype(np.int64), length)
    usable = np.asarray(store.time_s)[row] <= before_s
    usable &= store.available_s(row) <= before_s
    return owner[usable], row[usable]


def _window(
    positive_key: np.ndarray, key: np.ndarray, before_s: int, window_s: int
) -> tuple[np.ndarray, np.ndarray]:
    """Positives [first, last) strictly after each key and within its window."""
    time = key % _USER_STRIDE
    until = key - time + np.minimum(time + window_s, before_s)
    first = np.searchsorted(positive_key, key, side="right")
    return first, np.searchsorted(positive_key, until, side="right")


@dataclass(frozen=True, kw_only=True)
class SampledUsers:
    """One step's plan over the global batch."""

    user: np.ndarray  # (B,) int64
    first: np.ndarray  # (B,) int64: sub-sequence is timelines.row[first : first + length]
    length: np.ndarray  # (B,) int64, 1 … M
    owner: np.ndarray  # (Q,) int64: which of the B; ascending
    position: np.ndarray  # (Q,) int64 into timelines.row; ascending within an owner
    target: np.ndarray  # (Q,) int64 item index


def sample_users(timelines: Timelines, *, seed: int, step: int, batch_users: int) -> np.ndarray:
    """The step's users [B], as indices into ``timelines.user``: a keyed shuffle per epoch."""
    count = len(timelines.user)
    batch = min(batch_users, count)
    per_epoch = count // batch
    epoch, nth = divmod(step, per_epoch)
    return np.sort(keyed_permutation(count, seed, 1, epoch)[nth * batch : (nth + 1) * batch])


def sample_positions(
    timelines: Timelines,
    picked: np.ndarray,
    *,
    seed: int,
    step: int,
    history_length: int,
    positions_per_user: int,
) -> SampledUsers:
    """Cut a sub-sequence for each picked user and choose positions and their targets."""
    t, user = timelines, timelines.user[picked]
    low, high = t.valid_start[picked], t.valid_start[picked + 1]
    end = t.valid_row[low + keyed_integers(high - low, seed, step, user, 2)]  # (B,) newest action
    first = np.maximum(t.start[picked], end - history_length + 1)
    # Rank the valid places of each sub-sequence by a hash; the newest always comes first.
    place = np.arange(history_length)
    row = end[:, None] - place  # (B, M)
    inside = row >= first[:, None]
    rank = keyed_bits(seed, step, user[:, None], 3, row) >> np.uint64(1)
    rank[:, 0] = 0
    rank[~(inside & t.valid[np.where(inside, row, 0)])] = np.iinfo(np.uint64).max
    count = min(positions_per_user, history_length)
    chosen = np.sort(np.argpartition(rank, count - 1, axis=1)[:, :count], axis=1)[:, ::-1]
    real = np.take_along_axis(rank, chosen, axis=1) != np.iinfo(np.uint64).max
    owner, column = np.nonzero(real)
    position = end[owner] - chosen[owner, column]
    low, high = _window(t.positive_key, t.key[position], t.before_s, t.window_s)
    target = t.positive_item[low + keyed_integers(high - low, seed, step, user[owner], 4, position)]
    return SampledUsers(
        user=user,
        first=first,
        length=end - first + 1,
        owner=owner,
        position=position,
        target=target,
    )
