"""The way of posted actions: check each, record the good ones durably, say what became of each."""

from collections.abc import Collection
from typing import Any

from homefeed.data.vocabulary import typed_id
from serving.log_writer import LogWriter
from serving.logged import Action, Appended, content_event_id
from serving.requests import RequestError, parse_action


async def record(
    actions: list[Any], arrived_ms: int, known_types: Collection[str], writer: LogWriter
) -> dict[str, Any]:
    """The answer of /v1/actions: one result per action, in order; good ones are durable."""
    results: list[dict[str, Any]] = []
    good: dict[int, Action] = {}
    for i, value in enumerate(actions):
        try:
            good[i] = checked_action(value, arrived_ms, frozenset(known_types))
            results.append({})
        except RequestError as error:
            results.append({"status": "refused", "error": f"actions[{i}]: {error}"})
    appended = await writer.append_actions(list(good.values())) if good else []
    for (i, action), outcome in zip(good.items(), appended, strict=True):
        results[i] = _result(i, action, outcome)
    counts = [result["status"] for result in results]
    return {
        "accepted": counts.count("accepted"),
        "duplicates": counts.count("duplicate"),
        "refused": counts.count("refused"),
        "results": results,
    }


def checked_action(value: Any, arrived_ms: int, known_types: frozenset[str]) -> Action:
    """One posted action as the log keeps it; RequestError says what is wrong with it."""
    posted = parse_action(value, arrived_ms, known_types)
    content = (posted.user_id, posted.item_id, posted.action_type, posted.time_ms, posted.surface)
    return Action(
        event_id=posted.event_id or content_event_id(*map(repr, content)),
        user_id=typed_id(posted.user_id),
        item_id=typed_id(posted.item_id),
        action_type=posted.action_type,
        time_ms=posted.time_ms,
        duration_s=posted.duration_s,
        surface=posted.surface,
        request_id=posted.request_id,
        arrived_ms=arrived_ms,
        time_given=value.get("timestamp") is not None,
    )


def _result(place: int, action: Action, outcome: Appended) -> dict[str, Any]:
    if outcome.status == "conflict":
        return {
            "status": "refused",
            "error": f"actions[{place}]: event_id {action.event_id!r} was recorded before with "
            "other content; give each event an id of its own",
        }
    return {"status": outcome.status, "seq": outcome.seq}
