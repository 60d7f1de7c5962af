"""What the event log holds: actions that were posted, and what requests were shown."""

from dataclasses import dataclass, field

from homefeed.artifacts import hash_json


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    """One action as it was posted; ids are typed strings (``i:7``, ``s:abc``)."""

    event_id: str
    user_id: str
    item_id: str
    action_type: str
    time_ms: int
    duration_s: float = 0.0
    surface: str = ""
    request_id: str | None = None
    arrived_ms: int
    seq: int = 0  # given by the log
    time_given: bool = field(default=True, compare=False)  # else it is told by the arrival

    @property
    def available_ms(self) -> int:
        """It counts for a request only if this is strictly before the request."""
        return max(self.time_ms + round(self.duration_s * 1000), self.arrived_ms)

    def same_event(self, other: "Action") -> bool:
        """Whether both tell of one event, whenever each arrived; ``other`` is the recorded one."""
        mine = (self.user_id, self.item_id, self.action_type)
        same_time = not self.time_given or self.time_ms == other.time_ms
        return same_time and mine == (other.user_id, other.item_id, other.action_type)


@dataclass(frozen=True, kw_only=True, slots=True)
class Exposure:
    """What one request was shown, by which arm and release, at which time."""

    request_id: str
    endpoint: str  # feed or rank
    user_id: str
    time_ms: int
    surface: str = ""
    test: str | None = None
    arm: str | None = None
    release_version: int | None = None
    release_hash: str | None = None
    degraded: str | None = None
    items: tuple[tuple[str, float | None, str], ...] = ()  # typed id, score, source; best first


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of one posted action: ``accepted``, ``duplicate`` or ``conflict``."""

    status: str
    seq: int


def content_event_id(*content: object) -> str:
    """The event id of an action that came without one: equal content, equal id."""
    return f"content-{hash_json(content)}"
