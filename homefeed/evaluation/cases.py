"""What is asked of a model: each user's distinct positives in the window after the cutoff.

What was there at the cutoff is told by when actions had ended and arrived, as for the histories
that models read; targets are told by when they happened.

Shapes: U users, T targets, S pairs of a user and an item that the user acted on.
"""

from dataclasses import dataclass, replace

import numpy as np

from homefeed.clock import DAY_S
from homefeed.data.items import NO_TIME, ItemTable
from homefeed.data.sequences import SequenceStore
from homefeed.errors import DatasetError
from homefeed.schema import ActionFlag

CHUNK_USERS = 20_000  # whole histories read at once: bounds memory, not the result


@dataclass(frozen=True, kw_only=True)
class Cases:
    """Targets of the users that had an action at the cutoff and a positive in the window.

    One target is one (user, item), at its first positive in (cutoff, cutoff + horizon]; the same
    targets are asked in every refresh mode, so that modes compare.
    """

    cutoff_s: int
    horizon_s: int
    users: np.ndarray  # int32 [U] vocabulary indices, ascending
    target_row: np.ndarray  # int64 [T] row of `users`
    target_item: np.ndarray  # int32 [T]
    target_time_s: np.ndarray  # int64 [T]
    repeat: np.ndarray  # bool [T]: this user had acted on the item by the cutoff
    known: np.ndarray  # bool [T]: anybody had, or it had been created
    acted_row: np.ndarray  # int64 [S] ascending: row of `users`
    acted_item: np.ndarray  # int32 [S]
    acted_first_s: np.ndarray  # int64 [S]: when the first of the user's actions on the item counts
    users_without_history: int  # had a positive but no action by the cutoff: left out

    def view(self, name: str) -> np.ndarray:
        """Targets of a view, bool [T]: all, known, new, or new_known."""
        return {
            "all": np.ones(len(self.known), bool),
            "known": self.known,
            "new": ~self.repeat,
            "new_known": self.known & ~self.repeat,
        }[name]

    def sample(self, count: int | None, seed: int) -> "Cases":
        """The cases of ``count`` of the users, drawn at random; all where there are no more."""
        if count is None or count >= len(self.users):
            return self
        chosen = np.random.default_rng(seed).choice(len(self.users), count, replace=False)
        chosen.sort()
        target, acted = np.isin(self.target_row, chosen), np.isin(self.acted_row, chosen)
        targets = ("target_item", "target_time_s", "repeat", "known")
        return replace(
            self,
            users=self.users[chosen],
            target_row=np.searchsorted(chosen, self.target_row[target]),
            acted_row=np.searchsorted(chosen, self.acted_row[acted]),
            **{name: getattr(self, name)[target] for name in targets},
            **{name: getattr(self, name)[acted] for name in ("acted_item", "acted_first_s")},
        )


VIEWS = ("all", "known", "new", "new_known")


def build_cases(
    store: SequenceStore,
    *,
    cutoff_s: int,
    horizon_s: int,
    users: np.ndarray,
    item_table: ItemTable | None = None,
    chunk_users: int = CHUNK_USERS,
) -> Cases:
    """Collect the targets of ``users`` (vocabulary indices, any order) from a SequenceStore.

    Raises DatasetError where nobody has a positive in the window.
    """
    users = np.unique(np.asarray(users, np.int32))
    pieces = [
        _of_users(store, users[start : start + chunk_users], cutoff_s, cutoff_s + horizon_s)
        for start in range(0, len(users), chunk_users)
    ]
    joined = {k: np.concatenate([p[k] for p in pieces]) for k in pieces[0]} if pieces else {}
    if not pieces or not len(joined["target_item"]):
        raise DatasetError(
            f"none of the {len(users):,} users has both an action by {cutoff_s} and a positive "
            f"in the {horizon_s / DAY_S:g} days after it; choose an earlier cutoff or more users"
        )
    kept = np.unique(joined["target_user"])
    acted = np.isin(joined["acted_user"], kept)
    known = known_items(store, cutoff_s, item_table)
    return Cases(
        cutoff_s=cutoff_s,
        horizon_s=horizon_s,
        users=kept,
        target_row=np.searchsorted(kept, joined["target_user"]),
        target_item=joined["target_item"],
        target_time_s=joined["target_time_s"],
        repeat=joined["repeat"],
        known=known[joined["target_item"]],
        acted_row=np.searchsorted(kept, joined["acted_user"][acted]),
        acted_item=joined["acted_item"][acted],
        acted_first_s=joined["acted_first_s"][acted],
        users_without_history=int(joined["without_history"].sum()),
    )


def known_items(
    store: SequenceStore, cutoff_s: int, item_table: ItemTable | None = None
) -> np.ndarray:
    """Items with an action that had arrived, or that were created, by the cutoff: bool [I+1]."""
    known = np.zeros(store.meta.item_count + 1, bool)
    for start in range(0, len(store.item), 1 << 22):
        part = slice(start, start + (1 << 22))
        known[store.item[part][store.available_s(part) <= cutoff_s]] = True
    if item_table is not None:
        created = item_table.created_s
        known |= (created != NO_TIME) & (created <= cutoff_s)
    known[0] = False
    return known


def rows_of(store: SequenceStore, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Store positions of all actions of ``users``, user after user, and whose each one is."""
    length = store.length[users].astype(np.int64)
    offset = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    return np.repeat(store.start[users], length) + offset, np.repeat(users, length)


def _of_users(
    store: SequenceStore, users: np.ndarray, cutoff_s: int, end_s: int
) -> dict[str, np.ndarray]:
    position, user = rows_of(store, users)
    item = store.item[position]
    time_s = store.time_s[position].astype(np.int64)
    flags, available_s = store.flags[position], store.available_s(position)
    with_history = np.unique(user[available_s <= cutoff_s])
    # The first of a user's actions on each item to be there: unique keeps the first.
    in_time = np.argsort(available_s, kind="stable")
    in_time = in_time[available_s[in_time] <= end_s]
    acted = in_time[_first_of_pairs(user[in_time], item[in_time])]
    positive = (flags & ActionFlag.POSITIVE != 0) & (flags & ActionFlag.TIME_UNKNOWN == 0)
    wanted = np.flatnonzero(positive & (time_s > cutoff_s) & (time_s <= end_s))
    target = wanted[_first_of_pairs(user[wanted], item[wanted])]
    has_history = np.isin(user[target], with_history)
    strangers = np.unique(user[target[~has_history]])
    target = target[has_history]
    before = acted[available_s[acted] <= cutoff_s]
    return {
        "target_user": user[target],
        "target_item": item[target],
        "target_time_s": time_s[target],
        "repeat": np.isin(_pair(user[target], item[target]), _pair(user[before], item[before])),
        "acted_user": user[acted],
        "acted_item": item[acted],
        "acted_first_s": available_s[acted],
        "without_history": np.array([len(strangers)]),
    }


def _pair(user: np.ndarray, item: np.ndarray) -> np.ndarray:
    return user.astype(np.int64) << 32 | item


def _first_of_pairs(user: np.ndarray, item: np.ndarray) -> np.ndarray:
    """Indices of the first row of each (user, item), ordered by user, then item."""
    return np.unique(_pair(user, item), return_index=True)[1]
