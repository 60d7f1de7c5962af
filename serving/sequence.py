"""One user's sequence at a request: the feature store's last row, and the log after it.

The row carries the log's number up to which it holds every action (its watermark), so an action
is in the row or after the watermark, never in neither. It may be in both: numbers are given as
actions arrive, and one that the row could not hold yet may stand before others that it holds.
Within the log each action counts: the log has refused what was posted again.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

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
    from_log: bool = field(default=False, compare=False)  # merged, not published

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
    strictly before the request: its time plus its duration, and its arrival. Order
    is by time; ties keep the row before the log, and the log's order. An action of the row is
    one of the log where they agree in item, type and second: the row has no milliseconds and no
    event ids. Each of the row's stands for one of the log's, so that two of one second stay two.
    """
    merged = [action for action in row if action.ended_ms < request_ms]
    told = Counter(map(_second, merged))
    for action in logged:
        if action.available_ms >= request_ms:
            continue
        if told[key := _second(action)]:
            told[key] -= 1
        elif action.seq > watermark:
            merged.append(_of_log(action))
    merged.sort(key=lambda action: action.time_ms)
    return merged[-length:]


def _of_log(action: Action) -> PastAction:
    return PastAction(
        action.item_id,
        action.action_type,
        action.surface,
        action.time_ms,
        action.duration_s,
        from_log=True,
    )


def _second(action: PastAction | Action) -> tuple[str, str, int]:
    return (action.item_id, action.action_type, action.time_ms // 1000)
