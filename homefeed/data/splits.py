"""Who and when is held out: fits follow one another in time, and some users are never fitted on.

Encoders learn from t ≤ t0, rankers from t0 < t ≤ t1, evaluation is t1 < t ≤ t2.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from homefeed.clock import DAY_S
from homefeed.data.sequences.store import SequenceStore
from homefeed.errors import ConfigError, DatasetError

SHORTEST_DAYS = 5 / 3  # of a log, without set days: three fifths of it are a day for the encoders


def window_text(first_s: float, last_s: float) -> str:
    """A window of time as errors tell it."""
    first, last = (f"{datetime.fromtimestamp(s, UTC):%Y-%m-%d %H:%M}" for s in (first_s, last_s))
    return f"from {first} to {last} UTC"


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Three points in time, whole seconds UTC."""

    t0_s: int  # encoders learn from actions up to here, their targets included
    t1_s: int  # rankers learn from requests after t0 up to here
    t2_s: int  # evaluation is after t1 up to here

    def __post_init__(self) -> None:
        if not self.t0_s < self.t1_s < self.t2_s:
            raise ConfigError(
                f"a timeline needs t0 < t1 < t2, found {self.t0_s}, {self.t1_s}, {self.t2_s}"
            )

    def encoder(self, time_s: np.ndarray) -> np.ndarray:
        """Mask of times that encoders learn from: t ≤ t0."""
        return np.asarray(time_s) <= self.t0_s

    def ranker(self, time_s: np.ndarray) -> np.ndarray:
        """Mask of times that rankers learn from: t0 < t ≤ t1."""
        return (np.asarray(time_s) > self.t0_s) & (np.asarray(time_s) <= self.t1_s)

    def evaluation(self, time_s: np.ndarray) -> np.ndarray:
        """Mask of times that are judged: t1 < t ≤ t2."""
        return (np.asarray(time_s) > self.t1_s) & (np.asarray(time_s) <= self.t2_s)


def timeline_for(
    store: SequenceStore,
    *,
    evaluation_days: float | None = None,
    ranker_days: float | None = None,
    min_encoder_days: float = 1.0,
    until_s: int | None = None,
) -> Timeline:
    """Cut the store's span from its end: evaluation, before it rankers, before that encoders.

    By default evaluation gets 3 days and rankers 3 of a span of two weeks (encoders through day
    8 or so), a fifth of the span each where that is shorter, at most 7 days each of long ones: the
    two weeks after t0 are then the paper's horizon for judging encoders.
    ``until_s`` ends the timeline earlier than the last action.

    Raises DatasetError where encoders would have less than ``min_encoder_days`` to learn from.
    """
    first_s = store.meta.first_s
    last_s = store.meta.last_s if until_s is None else min(until_s, store.meta.last_s)
    if not store.meta.last_s:  # a first second of 0 is also that of a log that begins there
        raise DatasetError(
            "no action of this log has a known time, so it cannot be split in time: nothing can be "
            "trained or judged on it; export the actions with their times"
        )
    span = (last_s - first_s + 1) / DAY_S
    evaluation = _default_days(span, 7.0) if evaluation_days is None else evaluation_days
    ranker = _default_days(span, 7.0) if ranker_days is None else ranker_days
    if evaluation <= 0 or ranker <= 0:
        raise ConfigError(
            f"sequences.evaluation_days {evaluation:g} and sequences.ranker_days {ranker:g} must "
            "be above 0"
        )
    t1_s = last_s - round(evaluation * DAY_S)
    t0_s = t1_s - round(ranker * DAY_S)
    if t0_s - first_s + 1 < min_encoder_days * DAY_S:
        raise DatasetError(
            f"the log spans {span:.2f} days; {ranker:g} for the ranker and {evaluation:g} for "
            f"evaluation leave less than {min_encoder_days:g} for the encoders: give a longer "
            "log, or set smaller sequences.ranker_days and sequences.evaluation_days"
        )
    return Timeline(t0_s=t0_s, t1_s=t1_s, t2_s=last_s)


def _default_days(span: float, most: float) -> float:
    """A fifth of the span, in whole days where it is a day or more."""
    share = span / 5
    return min(float(round(share)), most) if share >= 1 else share


def held_out_users(
    user_indices: np.ndarray, share: float, salt: str, *, store: SequenceStore
) -> np.ndarray:
    """Mask bool[n] of the users held out: a stable hash of the typed id, so it outlives the log.

    The same salt and share hold out the same users in every store of any lineage.
    """
    return held_out_ids(store.users.typed(user_indices), share, salt)


def held_out_ids(typed_ids: Sequence[str], share: float, salt: str) -> np.ndarray:
    """Mask bool[n] over typed ids (``i:7``, ``s:abc``)."""
    if not 0 <= share < 1:
        raise ConfigError(f"the held-out share must be in [0, 1), found {share}")
    return np.fromiter((_unit(salt, each) < share for each in typed_ids), bool, len(typed_ids))


def _unit(salt: str, typed: str) -> float:
    digest = hashlib.blake2b(f"{salt}\x00{typed}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
