"""How familiar a user is with a candidate: acted on before, and shown how lately.

A log is full of repeats: what is near a user's taste was shown, passed over and shown again, or
liked and done with. A ranker that is not told takes their low rates for a dislike of what is near
(docs/lab_log.md, "What was shown before"). Training and serving compute these two features here,
from what was known strictly before the request: actions that were available, showings at an
earlier millisecond.

Shapes: n rows (candidates of requests), R requests, A actions of a request.
"""

import numpy as np

from homefeed.clock import DAY_S

FEATURES = ("acted_on", "shown_lately")
REMEMBERED_S = 14 * DAY_S  # an older showing counts as none
FADING_S = 7 * DAY_S  # a showing this old weighs 1/e
NEVER_MS = -1
LAST_ACTIONS = 100  # of these an item counts as acted on; what training and the row online hold


def familiarity(
    acted: np.ndarray, shown_ms: np.ndarray, request_ms: np.ndarray | int
) -> np.ndarray:
    """Features float32 [n, 2] of candidates, columns as FEATURES.

    ``acted`` bool [n] is what ``acted_on`` gives; ``shown_ms`` int64 [n] is the last showing before
    the request, NEVER_MS where there was none; ``request_ms`` int64 [n] or one time for all.
    """
    age_s = (np.asarray(request_ms) - shown_ms) / 1000
    counts = (shown_ms != NEVER_MS) & (age_s > 0) & (age_s <= REMEMBERED_S)
    lately = np.where(counts, np.exp(-np.clip(age_s, 0, REMEMBERED_S) / FADING_S), 0.0)
    return np.stack([np.asarray(acted, bool), lately], axis=1).astype(np.float32)


def acted_on(items: np.ndarray, request: np.ndarray, item: np.ndarray) -> np.ndarray:
    """bool [n]: whether ``item`` [n] is among the last LAST_ACTIONS items of its ``request`` [n].

    ``items`` int [R, A] are the items of all actions that were available before the request,
    newest first; 0, which is never met, stands for padding and for an item without an index: it
    has its place among the last, or a user's older actions would count for one reader only.
    """
    of_row = items[request, :LAST_ACTIONS]  # [n, A]
    return ((of_row == item[:, None]) & (item[:, None] > 0)).any(axis=1)
