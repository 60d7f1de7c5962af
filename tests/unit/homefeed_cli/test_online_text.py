"""What a person reads of the features of one user."""

import copy
from typing import Any

import pytest

from homefeed.clock import DAY_S
from homefeed.schema import ActionFlag
from homefeed_cli.online_text import NEWEST, online_text

AS_OF_S = 20_000 * DAY_S  # 2024-10-04


def action(number: int, flags: int = 0) -> dict[str, Any]:
    return {
        "item": f"i:{number}",
        "action_type": "save",
        "surface": "home",
        "time_s": AS_OF_S - 60 * number,
        "duration_s": 0.0,
        "flags": flags,
    }


@pytest.fixture
def found() -> dict[str, Any]:
    vector = {"view": "user_embedding_12", "encoder_hash": "12ab", "as_of_s": AS_OF_S}
    sequence = {"view": "user_sequence_34", "as_of_s": AS_OF_S, "age_s": 7_200.0, "watermark": 5}
    counts = {"length": 1, "earlier_items": 3, "shown_lately": 2}
    return {
        "release": 4,
        "release_hash": "aa00",
        "feature_service": "release_aa00",
        "vector": {**vector, "age_s": 7_200.0, "stale": False, "values": [0.6, -0.8]},
        "sequence": {**sequence, **counts, "actions": [action(1)]},
    }


def test_versions_ages_and_the_first_values_are_told(found) -> None:
    release, vector, values, sequence, counts, newest = online_text(found).splitlines()
    assert release.split() == ["release", "4", "aa00,", "release_aa00"]
    assert "encoder 12ab: as of 2024-10-04 00:00 UTC, 2.0 h old" in vector
    assert "2 values, length 1.000: +0.600 -0.800" in values
    assert "user_sequence_34: as of 2024-10-04 00:00 UTC, 2.0 h old, event log up to 5" in sequence
    assert counts.strip() == "1 last actions, 3 earlier items, 2 shown lately"
    assert newest.split() == ["2024-10-03", "23:59:00", "save", "item", "1", "home"]


def test_a_vector_that_is_too_old_is_told_to_be_left_out(found) -> None:
    old = copy.deepcopy(found)
    old["vector"] |= {"age_s": 4.0 * DAY_S, "stale": True, "values": None}
    assert "4.0 days old: too old, so requests go without it" in online_text(old)


def test_what_was_published_after_the_moment_asked_about_is_told_so(found) -> None:
    later = copy.deepcopy(found)
    later["vector"] |= {"age_s": -10.0, "values": None}
    later["sequence"] |= {"age_s": -10.0, "length": 0, "actions": []}
    assert online_text(later).count("later than the moment asked about") == 2


@pytest.mark.parametrize("part", ["vector", "sequence"])
def test_a_part_that_a_user_has_not_is_told(found, part) -> None:
    found[part] |= {"as_of_s": None, "age_s": None}
    assert sum("none for this user" in line for line in online_text(found).splitlines()) == 1


def test_an_action_without_a_known_time_shows_none(found) -> None:
    found["sequence"]["actions"] = [action(1, ActionFlag.TIME_UNKNOWN)]
    assert online_text(found).splitlines()[-1].split()[:2] == ["no", "time"]


def test_of_many_actions_the_newest_are_shown_and_the_rest_counted(found) -> None:
    found["sequence"]["actions"] = [action(number) for number in range(NEWEST + 5)]
    lines = online_text(found).splitlines()
    assert sum("item" in line and "save" in line for line in lines) == NEWEST
    assert f"the newest {NEWEST} of {NEWEST + 5}" in lines[-1]


def test_what_a_client_posted_does_not_speak_to_the_terminal(found) -> None:
    found["sequence"]["actions"] = [action(1) | {"item": "s:\x1b[2Jnaïve 用", "surface": "a\nb"}]
    last = online_text(found).splitlines()[-1]
    assert "item \\x1b[2Jnaïve 用  a\\nb" in last
