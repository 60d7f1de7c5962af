"""What people remember: items seen lately (boredom) and items liked (revisits)."""

import numpy as np

SEEN = 128  # impressions that a person remembers
LIKED = 128  # liked items that a person remembers
DONE = 1.2  # a liked item is done with: more boring than one more sighting, and for longer


class Memory:
    """Two rings per user. U users."""

    def __init__(self, users: int) -> None:
        self.seen = np.full((users, SEEN), -1, np.int32)  # item index
        self.seen_s = np.zeros((users, SEEN), np.int64)
        self.liked = np.full((users, LIKED), -1, np.int32)
        self._seen_count = np.zeros(users, np.int64)
        self._liked_count = np.zeros(users, np.int64)

    def boredom(
        self, user: np.ndarray, items: np.ndarray, time_s: np.ndarray, decay_s: float
    ) -> np.ndarray:
        """float64[B, n]: sum over remembered sightings of exp(-age / ``decay_s``), plus DONE.

        ``user`` [B], ``items`` [B, n], ``time_s`` [B]. Only sightings before ``time_s`` count.
        """
        age_s = time_s[:, None] - self.seen_s[user]  # [B, SEEN]
        freshness = np.where(age_s > 0, np.exp(-np.maximum(age_s, 0) / decay_s), 0.0)
        same = items[:, :, None] == self.seen[user][:, None, :]  # [B, n, SEEN]
        done = (items[:, :, None] == self.liked[user][:, None, :]).any(axis=2)
        return np.einsum("bns,bs->bn", same, freshness) + DONE * done

    def see(self, user: np.ndarray, items: np.ndarray, time_s: np.ndarray) -> None:
        """Remember that each ``user`` [B], all different, saw ``items`` [B, n] (-1: none)."""
        shown = items >= 0
        slot = (self._seen_count[user][:, None] + np.cumsum(shown, axis=1) - 1) % SEEN
        row, column = np.nonzero(shown)
        self.seen[user[row], slot[row, column]] = items[row, column]
        self.seen_s[user[row], slot[row, column]] = time_s[row]
        self._seen_count[user] += shown.sum(axis=1)

    def recollect(self, user: np.ndarray, item: np.ndarray, time_s: np.ndarray) -> None:
        """Remember past sightings, flat arrays [A] in order of time; users occur many times."""
        order = np.argsort(user, kind="stable")
        sorted_ = user[order]
        start = np.searchsorted(sorted_, sorted_, side="left")
        slot = (self._seen_count[sorted_] + np.arange(len(order)) - start) % SEEN
        # Later rows win where the ring goes round: assignment keeps the last of equal indices.
        self.seen[sorted_, slot] = item[order]
        self.seen_s[sorted_, slot] = time_s[order]
        self._seen_count += np.bincount(user, minlength=len(self.seen))

    def like(self, user: np.ndarray, item: np.ndarray) -> None:
        """Remember liked items; a user may occur several times, oldest first."""
        for one, liked in zip(user.tolist(), item.tolist(), strict=True):
            slot = self._liked_count[one]
            if self.liked[one, (slot - 1) % LIKED] != liked:  # a save after a click is one liking
                self.liked[one, slot % LIKED] = liked
                self._liked_count[one] += 1

    def recall(self, user: np.ndarray, draw: np.ndarray) -> np.ndarray:
        """int32[B]: a liked item of each user, by ``draw`` in (0, 1); -1 where there is none."""
        known = np.minimum(self._liked_count[user], LIKED)
        slot = (draw * known).astype(np.int64)
        return np.where(known > 0, self.liked[user, slot], -1)
