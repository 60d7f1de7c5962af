import dataclasses
import json
import time

import pytest

from serving.requests import (
    RequestError,
    parse_action,
    parse_actions,
    parse_feed,
    parse_object,
    parse_rank,
)
from serving.settings import Settings

LIVE, SIMULATED = Settings(), Settings(simulated_clock=True)
NOW_MS = 1_700_000_000_000
TYPES = frozenset({"click", "like"})


def body(**values) -> bytes:
    return json.dumps(values).encode()


def test_a_feed_request_has_defaults():
    before_ms = time.time_ns() // 1_000_000
    request = parse_feed(body(user_id="anna"), LIVE)
    assert (request.user_id, request.k, request.surface) == ("anna", LIVE.k, "")
    assert request.endpoint == "feed"
    assert before_ms <= request.time_ms <= time.time_ns() // 1_000_000


def test_integer_and_text_ids_stay_what_they_are():
    assert parse_feed(body(user_id=7), LIVE).user_id == 7
    assert parse_feed(body(user_id="7"), LIVE).user_id == "7"
    assert parse_feed(body(user_id="Łódź-☃"), LIVE).user_id == "Łódź-☃"


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (b"{", "the body is not JSON"),
        (b"[1]", "the body is a JSON array; send an object"),
        (body(), "user_id is missing"),
        (body(user_id=True), "user_id is true; send an integer or a string"),
        (body(user_id=1.5), "user_id is 1.5"),
        (body(user_id=""), "user_id has 0 characters"),
        (body(user_id=2**63), "at most 64 bits"),
        (body(user_id=1, k=0), "k is 0; send an integer from 1 to 100"),
        (body(user_id=1, k=101), "k is 101; at most 100 can be"),
        (body(user_id=1, k="5"), 'k is "5"'),
        (body(user_id=1, usr=2), "unknown field 'usr'"),
        (body(user_id=1, surfce="x"), "did you mean 'surface'?"),
        (body(user_id=1, surface=3), "surface is 3; send a string"),
        (body(user_id=1, surface="x" * 9999), "surface has 9999 characters; send at most 512"),
        (b'{"user_id": 1, "k": 5, "k": 50}', 'field "k" is there twice; send it once'),
        (b'{"user_id": {"a": 1, "a": 2}}', 'field "a" is there twice'),
    ],
)
def test_a_bad_feed_request_is_refused_in_one_line_that_says_why(sent, says):
    with pytest.raises(RequestError) as refused:
        parse_feed(sent, LIVE)
    assert says in str(refused.value)
    assert refused.value.status == 400
    assert "\n" not in str(refused.value)


ACTION = {"user_id": 1, "item_id": 2, "action_type": "click"}


def _feed(value):
    return dataclasses.replace(parse_feed(body(**value), SIMULATED), time_ms=0)


def _rank(value):
    return dataclasses.replace(parse_rank(body(**value), SIMULATED), time_ms=0)


def _actions(value):
    return parse_actions(body(**value), SIMULATED)[1]


def _action(value):
    return parse_action(value, NOW_MS, TYPES)


@pytest.mark.parametrize(
    ("parse", "whole", "optional"),
    [
        (_feed, {"user_id": 1}, "k surface at"),
        (_rank, {"user_id": 1, "candidates": [3, 4]}, "k surface at"),
        (_actions, {"actions": [ACTION]}, "at"),
        (_action, ACTION, "timestamp duration_s surface request_id event_id"),
    ],
)
def test_a_field_that_is_null_counts_as_left_out(parse, whole, optional):
    for field in optional.split():
        assert parse({**whole, field: None}) == parse(whole)
    for field in whole:
        said = []
        for missing in ({**whole, field: None}, {k: v for k, v in whole.items() if k != field}):
            with pytest.raises(RequestError) as refused:
                parse(missing)
            said.append(str(refused.value))
        assert said[0] == said[1]
        assert said[0].startswith(f"{field} is missing; send ")
    with pytest.raises(RequestError, match="unknown field 'surfce'"):
        parse({**whole, "surfce": None})


def test_a_request_carries_its_own_time_only_under_the_simulated_clock():
    assert parse_feed(body(user_id=1, at=12.5), SIMULATED).time_ms == 12_500
    with pytest.raises(RequestError, match="--simulated-clock"):
        parse_feed(body(user_id=1, at=12.5), LIVE)


def test_a_time_in_milliseconds_is_recognised():
    with pytest.raises(RequestError, match="milliseconds"):
        parse_feed(body(user_id=1, at=1_700_000_000_000), SIMULATED)
    with pytest.raises(RequestError) as refused:
        parse_feed(body(user_id=1, at=-5), SIMULATED)
    assert str(refused.value) == "at is -5; give seconds since 1970"


def test_candidates_are_ranked_in_full_unless_k_says_less():
    assert parse_rank(body(user_id=1, candidates=[3, 4]), LIVE).k == 2
    assert parse_rank(body(user_id=1, candidates=[3, 4], k=1), LIVE).candidates == (3, 4)


@pytest.mark.parametrize(
    ("candidates", "says"),
    [
        ([], "candidates is []; send a list"),
        (None, "candidates is missing"),
        ([1, None], "candidates[1] is missing"),
        ([1, 2, 1], "candidates[2] repeats candidates[0] (1)"),
        (list(range(1001)), "candidates holds 1001 items; send at most 1000"),
    ],
)
def test_bad_candidates_are_refused(candidates, says):
    with pytest.raises(RequestError) as refused:
        parse_rank(body(user_id=1, candidates=candidates), LIVE)
    assert says in str(refused.value)


def test_an_action_without_a_timestamp_happened_when_it_arrived():
    posted = parse_action({"user_id": 1, "item_id": 2, "action_type": "click"}, NOW_MS, TYPES)
    assert posted.time_ms == NOW_MS
    assert posted.event_id is None


def test_an_action_with_a_duration_and_no_timestamp_ended_when_it_arrived():
    action = {"user_id": 1, "item_id": 2, "action_type": "click", "duration_s": 90.5}
    assert parse_action(action, NOW_MS, TYPES).time_ms == NOW_MS - 90_500
    assert parse_action({**action, "timestamp": 12}, NOW_MS, TYPES).time_ms == 12_000
    assert parse_action(action, 1_000, TYPES).time_ms == 0  # no time lies before 1970


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"action_type": "clik"}, "action_type is 'clik'; known are click, like"),
        ({"action_type": None}, "action_type is missing"),
        ({"item_id": [1]}, "item_id is [1]"),
        ({"timestamp": "now"}, 'timestamp is "now"; send a number'),
        ({"timestamp": NOW_MS}, "are these milliseconds?"),
        ({"timestamp": NOW_MS / 1000 + 90_000}, "more than a day after"),
        ({"timestamp": -1}, "give seconds since 1970"),
        ({"timestamp": float("nan")}, "timestamp is NaN"),
        ({"duration_s": -1}, "duration_s is -1.0"),
        ({"when": 3}, "unknown field 'when'"),
    ],
)
def test_a_bad_action_says_why(change, says):
    value = {"user_id": 1, "item_id": 2, "action_type": "click", **change}
    with pytest.raises(RequestError) as refused:
        parse_action(value, NOW_MS, TYPES)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("surface", {"user_id": 1, "surface": "\ud800"}),
        ("user_id", {"user_id": "a\udfff"}),
        ("candidates[1]", {"user_id": 1, "candidates": ["a", "\ud800"]}),
    ],
)
def test_text_that_utf8_cannot_encode_is_refused_in_words_that_it_can(name, sent):
    parse = parse_rank if "candidates" in sent else parse_feed
    with pytest.raises(RequestError, match="half of a surrogate pair") as refused:
        parse(body(**sent), LIVE)
    assert refused.value.status == 400
    assert str(refused.value).startswith(f'{name} is "')
    assert str(refused.value).isprintable()
    assert "\\ud" in str(refused.value)


@pytest.mark.parametrize(
    "field", ["user_id", "item_id", "action_type", "surface", "request_id", "event_id", "timestamp"]
)
def test_no_field_of_an_action_takes_half_a_surrogate_pair(field):
    value = {"user_id": 1, "item_id": 2, "action_type": "click", field: "\ud800"}
    with pytest.raises(RequestError, match=field) as refused:
        parse_action(value, NOW_MS, frozenset())
    str(refused.value).encode()


def test_whole_characters_beyond_the_basic_plane_are_taken_as_escapes_too():
    sent = b'{"user_id": "\\ud83d\\ude00", "surface": "\\ud83d\\ude00"}'
    request = parse_feed(sent, LIVE)
    assert (request.user_id, request.surface) == ("😀", "😀")


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("field", ["timestamp", "duration_s", "user_id", "surface"])
def test_a_number_too_large_for_any_field_refuses_its_action_in_a_short_line(field, sign):
    value = {"user_id": 1, "item_id": 2, "action_type": "click", field: sign * 10**400}
    with pytest.raises(RequestError, match=field) as refused:
        parse_action(value, NOW_MS, TYPES)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("field", ["k", "at", "user_id", "surface"])
def test_a_number_too_large_for_any_field_refuses_its_request_in_a_short_line(field, sign):
    with pytest.raises(RequestError, match=field) as refused:
        parse_feed(body(**{"user_id": 1, field: sign * 10**400}), SIMULATED)
    assert len(str(refused.value)) < 200


def test_a_batch_is_a_list_of_bounded_length():
    with pytest.raises(RequestError, match="send a list"):
        parse_actions(body(actions={}), LIVE)
    with pytest.raises(RequestError, match="at most 1000 at once"):
        parse_actions(body(actions=[{}] * 1001), LIVE)
    assert parse_actions(body(actions=[1], at=2), SIMULATED) == (2_000, [1])


def test_of_a_body_of_many_names_the_one_that_is_there_twice_is_named():
    names = ", ".join(f'"n{number}": 1' for number in range(50_000))
    with pytest.raises(RequestError, match='field "n49999" is there twice'):
        parse_object(f'{{{names}, "n49999": 2}}'.encode())


def test_an_unknown_field_is_named_in_a_short_line():
    with pytest.raises(RequestError) as refused:
        parse_feed(json.dumps({"user_id": 1, "x" * 10_000: 1}).encode(), Settings())
    assert len(str(refused.value)) < 200
