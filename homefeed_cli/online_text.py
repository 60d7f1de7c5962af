"""What an arm reads online for one user, as a person reads it."""

from datetime import UTC, datetime
from typing import Any

import numpy as np

from homefeed.clock import DAY_S
from homefeed.schema import ActionFlag

NEWEST = 10  # actions that are listed; --json has them all
FIRST = 6  # values of the vector that are listed
HOUR_S = 3_600


def online_text(found: dict[str, Any]) -> str:
    """The description of ``FeatureStore.describe_online`` with the release's, in lines."""
    lines = [f"release    {found['release']} {found['release_hash']}, {found['feature_service']}"]
    lines += [*_vector(found["vector"]), *_sequence(found["sequence"])]
    return "\n".join(lines)


def _vector(vector: dict[str, Any]) -> list[str]:
    head = f"vector     {vector['view']}, encoder {vector['encoder_hash']}: "
    if vector["as_of_s"] is None:
        return [f"{head}none for this user"]
    if vector["values"] is None:
        why = "too old" if vector["age_s"] > 0 else "later than the moment asked about"
        return [f"{head}{_age(vector)}: {why}, so requests go without it"]
    values = np.asarray(vector["values"], np.float32)
    first = " ".join(f"{value:+.3f}" for value in values[:FIRST])
    length = float(np.linalg.norm(values))
    return [
        f"{head}{_age(vector)}",
        f"           {len(values)} values, length {length:.3f}: {first}",
    ]


def _sequence(sequence: dict[str, Any]) -> list[str]:
    head = f"sequence   {sequence['view']}: "
    if sequence["as_of_s"] is None:
        return [f"{head}none for this user"]
    if sequence["age_s"] <= 0:
        return [f"{head}{_age(sequence)}: later than the moment asked about"]
    actions = sequence["actions"]
    counts = (
        f"{sequence['length']:,} last actions, {sequence['earlier_items']:,} earlier items, "
        f"{sequence['shown_lately']:,} shown lately"
    )
    lines = [
        f"{head}{_age(sequence)}, event log up to {sequence['watermark']:,}",
        f"           {counts}",
        *map(_action, actions[:NEWEST]),
    ]
    if len(actions) > NEWEST:
        lines.append(f"           the newest {NEWEST} of {len(actions)}; --json prints them all")
    return lines


def _action(action: dict[str, Any]) -> str:
    is_timed = not action["flags"] & ActionFlag.TIME_UNKNOWN
    when = _moment(action["time_s"], "%Y-%m-%d %H:%M:%S") if is_timed else "no time"
    lasted = f"  {action['duration_s']:.1f} s" if action["duration_s"] else ""
    item, kind = action["item"].partition(":")[2], action["action_type"]
    told = f"{kind:12}  item {_harmless(item)}  {_harmless(action['surface'])}{lasted}"
    return f"           {when:19}  {told}".rstrip()


def _harmless(text: str) -> str:
    """What a client posted, without what a terminal would obey."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _age(part: dict[str, Any]) -> str:
    age_s = part["age_s"]
    days = f"{age_s / DAY_S:.1f} days" if abs(age_s) >= 2 * DAY_S else f"{age_s / HOUR_S:.1f} h"
    return f"as of {_moment(part['as_of_s'], '%Y-%m-%d %H:%M')} UTC, {days} old"


def _moment(time_s: float, form: str) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime(form)
