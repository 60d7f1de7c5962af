"""A small action log in memory: the same columns as a sequence store, made from rows."""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from homefeed.schema import ActionFlag

DAY_S = 86_400
START_S = 1_600_000_000


@dataclass
class MemoryStore:
    """Columns by position and users by index, as homefeed.data.sequences.SequenceStore has them."""

    item: np.ndarray
    action: np.ndarray
    surface: np.ndarray
    flags: np.ndarray
    time_s: np.ndarray
    duration: np.ndarray
    arrival_delay_s: np.ndarray
    start: np.ndarray
    length: np.ndarray
    meta: SimpleNamespace

    def available_s(self, rows: np.ndarray) -> np.ndarray:
        ended = self.time_s[rows] + np.ceil(self.duration[rows]).astype(np.int64)
        return ended + self.arrival_delay_s[rows]


def _store_of(users: list[list[dict]], num_items: int = 40) -> MemoryStore:
    rows = [action for user in users for action in user]
    length = np.array([0] + [len(u) for u in users])

    def column(name: str, default: float, dtype: str) -> np.ndarray:
        return np.array([r.get(name, default) for r in rows], dtype=dtype)

    return MemoryStore(
        item=column("item", 0, "i4"),
        action=column("action", 1, "u1"),
        surface=column("surface", 1, "u1"),
        flags=column("flags", int(ActionFlag.POSITIVE), "u1"),
        time_s=column("time_s", 0, "u4"),
        duration=column("duration", 0.0, "f2"),
        arrival_delay_s=column("late_s", 0, "i8"),
        start=np.cumsum(length) - length,
        length=length.astype(np.int32),
        meta=SimpleNamespace(
            action_types=("", "click", "watch"),
            surfaces=("", "feed"),
            item_count=num_items,
            user_count=len(users),
            content_hash="memory",
            items_hash="items",
        ),
    )


def _random_store(
    num_users: int = 30, num_items: int = 40, seed: int = 0, longest: int = 20
) -> MemoryStore:
    rng = np.random.default_rng(seed)
    users = []
    for user in range(num_users):
        times = START_S + np.sort(rng.integers(0, 40 * DAY_S, rng.integers(2, longest + 1)))
        users.append(
            [
                {
                    "item": int(rng.integers(num_items // 2)) * 2 + 1 + user % 2,
                    "time_s": int(t),
                    "action": int(rng.integers(1, 3)),
                    "duration": float(rng.integers(0, 60)),
                    "late_s": int(rng.integers(0, 4) == 0) * DAY_S,
                    "flags": int(rng.choice([0, 1, 1, 4, 5])),
                }
                for t in times
            ]
        )
    return _store_of(users, num_items)


@pytest.fixture(scope="session")
def store_of() -> Callable[..., MemoryStore]:
    """Make a store from one list of actions per user, oldest first, each a dict."""
    return _store_of


@pytest.fixture(scope="session")
def random_store() -> Callable[..., MemoryStore]:
    """Make a store of users with 2 … 20 actions over 40 days; odd and even users like odd and even
    items. Some actions arrive a day late, some have no known time."""
    return _random_store
