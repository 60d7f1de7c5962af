"""What is known of one user at one request: features and log, each read within its budget.

Shapes: D dimension of the user's vector.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from homefeed.data.familiarity import LAST_ACTIONS, REMEMBERED_S
from serving.dependency import Dependency, DependencyError
from serving.event_log import EventLog
from serving.logged import Action
from serving.sequence import PastAction, merge
from serving.settings import Settings


@dataclass(frozen=True, kw_only=True)
class StoredUser:
    """One user's row of the feature store."""

    vector: np.ndarray | None = None  # float32 [D]; None: absent, too old, or not yet valid
    vector_age_s: float | None = None  # at the request; also where it is too old
    why_no_vector: str | None = None
    row: Sequence[PastAction] = ()  # the published sequence, oldest first
    shown_ms: Mapping[str, int] = field(default_factory=dict)  # typed item → last showing in a log
    earlier: Collection[str] = ()  # typed items acted on before the row's actions
    watermark: int = 0  # the log's number up to which the row holds every action


class FeatureReader(Protocol):
    """Reads one user's features online."""

    def read(self, feature_service: str, user_id: str, now_s: float) -> StoredUser | None:
        """What a request at ``now_s`` may see; None where the store does not know the user."""
        ...


@dataclass(frozen=True, kw_only=True)
class UserState:
    """One user at one request; ``reasons`` tells each way in which it falls short."""

    vector: np.ndarray | None
    vector_age_s: float | None
    sequence: Sequence[PastAction]  # counted actions, oldest first
    recent: Sequence[PastAction]  # the last LAST_ACTIONS that count, of the log too in every arm
    seen: frozenset[str]  # typed items acted on, as far back as row and log tell
    shown_ms: Mapping[str, int]  # typed item → when it was last shown, as far as remembered
    hidden: frozenset[str]  # of these, what was shown within the window of `shown_window_s`
    watermark: int = 0
    merged_from_log: int = 0  # of the sequence's actions, those that the log added
    log_failed: bool = False  # so neither the last actions nor what was shown are known
    reasons: tuple[str, ...] = field(default=())


class UserReads:
    """Reads users' states, the feature store and the log side by side."""

    def __init__(self, features: FeatureReader, log: EventLog, settings: Settings) -> None:
        self._features, self._log, self._settings = features, log, settings
        self._store = Dependency("the feature store", settings.features_budget_ms)
        self._events = Dependency("the event log", settings.log_budget_ms)

    async def read(
        self, feature_service: str, user_id: str, *, request_ms: int, realtime: bool
    ) -> UserState:
        """The state of a typed user id strictly before ``request_ms``; never raises for a store
        that is slow or gone.
        """
        stored, logged = await asyncio.gather(
            self._store.call(self._features.read, feature_service, user_id, request_ms / 1000),
            self._events.call(self._read_log, user_id, request_ms),
            return_exceptions=True,
        )
        reasons: list[str] = []
        for outcome in (stored, logged):
            if isinstance(outcome, DependencyError):
                reasons.append(str(outcome))
            elif isinstance(outcome, BaseException):
                raise outcome
        failed_log = isinstance(logged, DependencyError)
        actions, shown_ms, newest = ([], {}, 0) if failed_log else logged
        features = None if isinstance(stored, DependencyError) else stored
        if features is None and not isinstance(stored, DependencyError):
            reasons.append("the feature store does not know this user")
        features = features or StoredUser()
        if features.watermark > newest:  # of a log that is gone: this one numbers from 1 again
            features = replace(features, watermark=0)
        return self._state(features, actions, shown_ms, request_ms, realtime, failed_log, reasons)

    def _state(
        self,
        stored: StoredUser,
        logged: Sequence[Action],
        shown_ms: Mapping[str, int],
        request_ms: int,
        realtime: bool,
        failed_log: bool,
        reasons: list[str],
    ) -> UserState:
        if stored.vector is None and stored.why_no_vector:
            reasons.append(stored.why_no_vector)
        read = self._settings.history_length

        def last(of_log: Sequence[Action]) -> list[PastAction]:
            length = max(read, LAST_ACTIONS)
            return merge(stored.row, stored.watermark, of_log, request_ms=request_ms, length=length)

        recent = last(logged)
        sequence = recent if realtime else last(())
        published = {action.item_id for action in stored.row}.union(stored.earlier)
        shown_ms = {**stored.shown_ms, **shown_ms}  # the log goes on from what was published
        window_ms = request_ms - round(self._settings.shown_window_s * 1000)
        return UserState(
            vector=stored.vector,
            vector_age_s=stored.vector_age_s,
            sequence=sequence[-read:],
            recent=recent[-LAST_ACTIONS:],
            seen=frozenset(
                published.union(a.item_id for a in logged if a.available_ms < request_ms)
            ),
            shown_ms=shown_ms,
            hidden=frozenset(item for item, at_ms in shown_ms.items() if at_ms >= window_ms),
            watermark=stored.watermark,
            merged_from_log=sum(action.from_log for action in sequence[-read:]),
            log_failed=failed_log,
            reasons=tuple(reasons),
        )

    def _read_log(self, user_id: str, request_ms: int) -> tuple[list[Action], dict[str, int], int]:
        """The user's actions, when items were shown to them, and the log's newest number."""
        since_ms = request_ms - round(1000 * max(self._settings.shown_window_s, REMEMBERED_S))
        shown_ms = self._log.shown_to(user_id, since_ms=since_ms, before_ms=request_ms)
        return self._log.actions_of(user_id), shown_ms, self._log.watermark()
