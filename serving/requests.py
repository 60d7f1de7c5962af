"""What a request says: JSON in, typed and checked values out, or one clear line of refusal.

A field that is null counts as left out, whichever it is.
"""

import difflib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homefeed.clock import DAY_MS, DAY_S
from homefeed.errors import HomefeedError
from serving.settings import Settings

MAX_ID_LENGTH = 512


class RequestError(HomefeedError):
    """The request cannot be answered as it is; ``status`` is the HTTP status."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, kw_only=True, slots=True)
class RankingRequest:
    """One call of /v1/feed (no ``candidates``) or /v1/rank."""

    user_id: int | str
    k: int
    surface: str
    time_ms: int
    candidates: tuple[int | str, ...] | None = None

    @property
    def endpoint(self) -> str:
        """``feed`` or ``rank``, as exposures call it."""
        return "feed" if self.candidates is None else "rank"


@dataclass(frozen=True, kw_only=True, slots=True)
class PostedAction:
    """One action of a batch of /v1/actions, with external ids."""

    user_id: int | str
    item_id: int | str
    action_type: str
    time_ms: int
    duration_s: float
    surface: str
    request_id: str | None
    event_id: str | None


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in ``body``."""
    try:
        value = json.loads(body, object_pairs_hook=_once_each)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise RequestError(f"the body is a JSON {_kind(value)}; send an object")
    return value


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object's fields; one that is there twice is refused: nobody knows which was meant."""
    value: dict[str, Any] = {}
    for twice, given in pairs:  # one pass: a body may hold a million names
        if twice not in value:
            value[twice] = given
            continue
        raise RequestError(f"field {_show(twice)} is there twice; send it once")
    return value


def parse_feed(body: bytes, settings: Settings) -> RankingRequest:
    """The request of /v1/feed: user_id, and optionally k, surface, at."""
    value = _only(parse_object(body), ("user_id", "k", "surface", "at"))
    return RankingRequest(
        user_id=_id(value, "user_id"),
        k=_count(value, "k", default=settings.k, most=settings.max_k),
        surface=_text(value, "surface", default=""),
        time_ms=request_time_ms(value, settings),
    )


def parse_rank(body: bytes, settings: Settings) -> RankingRequest:
    """The request of /v1/rank: user_id, candidates, and optionally k, surface, at."""
    value = _only(parse_object(body), ("user_id", "candidates", "k", "surface", "at"))
    given = value.get("candidates")
    if not isinstance(given, list) or not given:
        raise RequestError(f"candidates is {_show(given)}; send a list of item ids")
    if len(given) > settings.max_candidates:
        raise RequestError(
            f"candidates holds {len(given)} items; send at most {settings.max_candidates}"
        )
    candidates = tuple(_checked_id(item, f"candidates[{i}]") for i, item in enumerate(given))
    _refuse_repeats(candidates)
    return RankingRequest(
        user_id=_id(value, "user_id"),
        k=_count(value, "k", default=len(candidates), most=len(candidates)),
        surface=_text(value, "surface", default=""),
        time_ms=request_time_ms(value, settings),
        candidates=candidates,
    )


def parse_actions(body: bytes, settings: Settings) -> tuple[int, list[Any]]:
    """The request of /v1/actions: the time it arrives at (ms) and its actions, each unchecked.

    Actions are checked one by one with `parse_action`, because one bad action does not refuse
    the others.
    """
    value = _only(parse_object(body), ("actions", "at"))
    actions = value.get("actions")
    if not isinstance(actions, list) or not actions:
        raise RequestError(f"actions is {_show(actions)}; send a list of actions")
    if len(actions) > settings.max_actions:
        raise RequestError(
            f"actions holds {len(actions)}; send at most {settings.max_actions} at once"
        )
    return request_time_ms(value, settings), actions


def parse_action(value: Any, arrived_ms: int, action_types: frozenset[str]) -> PostedAction:
    """One action of a batch. ``action_types`` are the known ones; an empty set knows all."""
    if not isinstance(value, dict):
        raise RequestError(f"the action is a JSON {_kind(value)}; send an object")
    value = _only(
        value,
        (
            "user_id",
            "item_id",
            "action_type",
            "timestamp",
            "duration_s",
            "surface",
            "request_id",
            "event_id",
        ),
    )
    action_type = _text(value, "action_type")
    if action_types and action_type not in action_types:
        known = ", ".join(sorted(action_types))
        raise RequestError(f"action_type is {action_type!r}; known are {known}")
    duration_s = _number(value, "duration_s", default=0.0)
    if not 0 <= duration_s <= 7 * DAY_S:
        raise RequestError(f"duration_s is {duration_s}; give seconds from 0 to {7 * DAY_S}")
    return PostedAction(
        user_id=_id(value, "user_id"),
        item_id=_id(value, "item_id"),
        action_type=action_type,
        time_ms=_timestamp_ms(value, arrived_ms, duration_s),
        duration_s=duration_s,
        surface=_text(value, "surface", default=""),
        request_id=_text(value, "request_id", default="") or None,
        event_id=_text(value, "event_id", default="") or None,
    )


def request_time_ms(value: Mapping[str, Any], settings: Settings) -> int:
    """The request's time: its own `at` under the simulated clock, else the wall clock."""
    if "at" not in value:
        return time.time_ns() // 1_000_000
    if not settings.simulated_clock:
        raise RequestError(
            f"at is {_show(value['at'])}, but this server runs on the wall clock; leave it out, or "
            "start the server with --simulated-clock"
        )
    at_s = _number(value, "at")
    if not 0 <= at_s < 1e11:
        hint = "; are these milliseconds?" if at_s > 0 else ""
        raise RequestError(f"at is {at_s:g}; give seconds since 1970{hint}")
    return round(at_s * 1000)


def _timestamp_ms(value: Mapping[str, Any], arrived_ms: int, duration_s: float) -> int:
    """When the action began; without a timestamp it had just ended when it arrived."""
    if "timestamp" not in value:
        return max(arrived_ms - round(duration_s * 1000), 0)
    time_s = _number(value, "timestamp")
    if time_s * 1000 > arrived_ms + DAY_MS:
        hint = "; are these milliseconds?" if time_s > 1e11 else ""
        raise RequestError(
            f"timestamp is {time_s:.15g}, more than a day after {arrived_ms / 1000:.15g}, when it "
            f"arrived; give seconds since 1970{hint}"
        )
    if time_s < 0:
        raise RequestError(f"timestamp is {time_s:g}; give seconds since 1970")
    return round(time_s * 1000)


def _only(value: Mapping[str, Any], known: tuple[str, ...]) -> dict[str, Any]:
    """The fields that were given, null ones left out; one that is not known is refused."""
    for key in value:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}"
            raise RequestError(f"unknown field {_short(repr(key))}{hint}")
    return {key: given for key, given in value.items() if given is not None}


def _id(value: Mapping[str, Any], name: str) -> int | str:
    if name not in value:
        raise RequestError(f"{name} is missing; send an integer or a string")
    return _checked_id(value[name], name)


def _checked_id(given: Any, name: str) -> int | str:
    if isinstance(given, bool) or not isinstance(given, int | str):
        raise RequestError(f"{name} is {_show(given)}; send an integer or a string")
    if given == "" or (isinstance(given, str) and len(given) > MAX_ID_LENGTH):
        raise RequestError(f"{name} has {len(str(given))} characters; 1 to {MAX_ID_LENGTH} can be")
    if isinstance(given, int) and not -(2**63) <= given < 2**63:
        raise RequestError(f"{name} is {_show(given)}; integer ids have at most 64 bits")
    if isinstance(given, str):
        _require_utf8(given, name)
    return given


def _require_utf8(given: str, name: str) -> None:
    """Refuse half a surrogate pair: JSON can escape it, but no log or answer can hold it."""
    try:
        given.encode()
    except UnicodeEncodeError:
        raise RequestError(
            f"{name} is {_show(given)}, which UTF-8 cannot encode (half of a surrogate pair); send "
            "whole characters"
        ) from None


def _refuse_repeats(candidates: tuple[int | str, ...]) -> None:
    first: dict[int | str, int] = {}
    for i, item in enumerate(candidates):
        if item in first:
            raise RequestError(f"candidates[{i}] repeats candidates[{first[item]}] ({item!r})")
        first[item] = i


def _count(value: Mapping[str, Any], name: str, *, default: int, most: int) -> int:
    given = value.get(name, default)
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise RequestError(f"{name} is {_show(given)}; send an integer from 1 to {most}")
    if given > most:
        raise RequestError(f"{name} is {_show(given)}; at most {most} can be")
    return given


def _text(value: Mapping[str, Any], name: str, *, default: str | None = None) -> str:
    given = value.get(name, default)
    if not isinstance(given, str):
        raise RequestError(f"{name} is {_show(given)}; send a string")
    if len(given) > MAX_ID_LENGTH:
        raise RequestError(f"{name} has {len(given)} characters; send at most {MAX_ID_LENGTH}")
    if given == "" and default is None:
        raise RequestError(f"{name} is empty; send a string")
    _require_utf8(given, name)
    return given


def _number(value: Mapping[str, Any], name: str, *, default: float | None = None) -> float:
    given = value.get(name, default)
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    try:
        number = float(given) if is_number else math.nan
    except OverflowError:  # JSON integers have no largest one, floats do
        number = math.inf
    if not math.isfinite(number):
        raise RequestError(f"{name} is {_show(given)}; send a number")
    return number


def _show(given: Any) -> str:
    """The value as one short text that can be sent: what UTF-8 cannot encode is escaped."""
    if given is None:
        return "missing"
    text = json.dumps(given, ensure_ascii=False, default=str)
    return _short(text.encode(errors="backslashreplace").decode())


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _kind(value: Any) -> str:
    return {list: "array", str: "string", type(None): "null", bool: "boolean"}.get(
        type(value), "number"
    )
