"""One user's sequence at a request: the feature store's last row, and the log after it.

The row carries the log's number up to which it holds every action (its watermark), so an action
is in the row or after the watermark, never in neither. It may be in both: numbers are given as
actions arrive, and one that the row could not hold yet may stand before others that it holds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from serving.logged import Action


@dataclass(frozen=True, slots=True)
class PastAction:
    """One action of a user's past, with raw ids: every arm reads the same."""

    item_id: str  # typed
    action_type: str
    surface: str
    time_ms: int
    duration_s: float = 0.0
    time_known: bool = True

    @property
    def ended_ms(self) -> int:
        """When it was over."""
        return self.time_ms + round(self.duration_s * 1000)


def merge(
    row: Sequence[PastAction],
    watermark: int,
    logged: Iterable[Action],
    *,
    request_ms: int,
    length: int,
) -> list[PastAction]:
    """The newest ``length`` actions that count for a request at ``request_ms``, oldest first.

    ``row`` is chronological, ``logged`` ordered by number. An action counts if it was available
    strictly before the request: its time plus its duration, and its arrival (section 11). Order
    is by time; ties keep the row before the log, and the log's order. An action told twice
    (one item, one type, one second) counts once.
    """
    merged = [action for action in row if action.ended_ms < request_ms]
    told = {_second(action) for action in merged}
    for action in logged:
        if action.seq <= watermark or action.available_ms >= request_ms:
            continue
        past = PastAction(
            action.item_id, action.action_type, action.surface, action.time_ms, action.duration_s
        )
        if (key := _second(past)) not in told:
            told.add(key)
            merged.append(past)
    merged.sort(key=lambda action: action.time_ms)
    return merged[-length:]


def _second(action: PastAction) -> tuple[str, str, int]:
    return (action.item_id, action.action_type, action.time_ms // 1000)
