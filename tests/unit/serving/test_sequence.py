import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.logged import Action
from serving.sequence import PastAction, merge


def past(item: str, time_ms: int, **changes) -> PastAction:
    return PastAction(item_id=item, action_type="click", surface="", time_ms=time_ms, **changes)


def logged(seq: int, item: str, time_ms: int, **changes) -> Action:
    values = {
        "event_id": f"e{seq}",
        "user_id": "i:1",
        "item_id": item,
        "action_type": "click",
        "time_ms": time_ms,
        "arrived_ms": time_ms,
        "seq": seq,
    }
    return Action(**{**values, **changes})


def items(merged: list[PastAction]) -> list[str]:
    return [action.item_id for action in merged]


def test_the_log_continues_the_row_after_its_watermark():
    row = [past("i:1", 1_000), past("i:2", 2_000)]
    log = [logged(1, "i:1", 1_000), logged(2, "i:2", 2_000), logged(3, "i:3", 3_000)]
    assert items(merge(row, 2, log, request_ms=9_000, length=100)) == ["i:1", "i:2", "i:3"]


def test_an_action_at_the_watermark_counts_once_even_where_the_row_cut_it_off():
    log = [logged(1, "i:1", 1_000), logged(2, "i:2", 2_000)]
    assert items(merge([past("i:2", 2_000)], 2, log, request_ms=9_000, length=100)) == ["i:2"]


def test_an_action_that_is_told_twice_counts_once():
    log = [logged(5, "i:1", 1_400), logged(6, "i:1", 2_000)]
    merged = merge([past("i:1", 1_000)], 0, log, request_ms=9_000, length=100)
    assert [action.time_ms for action in merged] == [1_000, 2_000]


def test_two_events_of_one_second_on_one_item_are_two_though_the_row_holds_neither_or_one():
    log = [logged(5, "i:1", 1_100), logged(6, "i:1", 1_900)]
    alone = merge([], 0, log, request_ms=9_000, length=100)
    assert [action.time_ms for action in alone] == [1_100, 1_900]
    after_one = merge([past("i:1", 1_000)], 0, log, request_ms=9_000, length=100)
    assert [action.time_ms for action in after_one] == [1_000, 1_900]
    assert [action.from_log for action in after_one] == [False, True]


def test_a_second_event_after_the_watermark_counts_beside_the_one_before_it():
    log = [logged(5, "i:1", 1_100), logged(6, "i:1", 1_900)]
    merged = merge([past("i:1", 1_000)], 5, log, request_ms=9_000, length=100)
    assert [action.time_ms for action in merged] == [1_000, 1_900]


def test_two_events_of_one_second_that_the_row_holds_both_are_not_told_again():
    row = [past("i:1", 1_000), past("i:1", 1_000)]
    log = [logged(5, "i:1", 1_100), logged(6, "i:1", 1_900)]
    merged = merge(row, 0, log, request_ms=9_000, length=100)
    assert [action.time_ms for action in merged] == [1_000, 1_000]
    assert not any(action.from_log for action in merged)


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({}, True),
        ({"time_ms": 5_000, "arrived_ms": 5_000}, False),  # the request's own moment
        ({"time_ms": 4_999, "arrived_ms": 4_999}, True),
        ({"duration_s": 4.0}, False),  # over at 5.0 s
        ({"duration_s": 3.9}, True),
        ({"arrived_ms": 5_000}, False),  # came late
        ({"time_ms": 7_000, "arrived_ms": 7_000}, False),  # of the future
    ],
)
def test_an_action_counts_only_if_it_was_available_strictly_before_the_request(change, counts):
    action = logged(1, "i:1", 1_000)
    action = logged(1, "i:1", **{"time_ms": action.time_ms, **change})
    assert (items(merge([], 0, [action], request_ms=5_000, length=100)) == ["i:1"]) is counts


def test_actions_of_the_row_that_ended_after_the_request_do_not_count():
    row = [past("i:1", 1_000), past("i:2", 3_000, duration_s=10.0), past("i:3", 6_000)]
    assert items(merge(row, 0, [], request_ms=5_000, length=100)) == ["i:1"]


def test_a_late_posted_action_takes_its_place_by_time_and_ties_keep_the_row_first():
    row = [past("i:1", 1_000), past("i:3", 3_000)]
    log = [logged(8, "i:2", 2_000), logged(9, "i:4", 3_000), logged(10, "i:5", 3_000)]
    merged = merge(row, 0, log, request_ms=9_000, length=100)
    assert items(merged) == ["i:1", "i:2", "i:3", "i:4", "i:5"]


def test_only_the_newest_are_kept():
    row = [past(f"i:{n}", n * 1_000) for n in range(1, 8)]
    assert items(merge(row, 0, [], request_ms=99_000, length=3)) == ["i:5", "i:6", "i:7"]


EVENTS = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 60), st.integers(0, 8), st.integers(0, 8)),
    max_size=30,
)


@given(events=EVENTS, cut=st.integers(0, 30), request_s=st.integers(0, 90))
def test_wherever_the_row_was_cut_the_sequence_is_the_same(events, cut, request_s):
    """A row published at any watermark, merged with the log, equals the log alone."""
    log = [
        logged(
            seq,
            f"i:{item}",
            time_s * 1_000,
            duration_s=float(duration),
            arrived_ms=(time_s + duration + late) * 1_000,
        )
        for seq, (item, time_s, duration, late) in enumerate(events, start=1)
    ]
    request_ms = request_s * 1_000
    watermark = log[min(cut, len(log)) - 1].seq if log and cut else 0
    # the row was published when its last action had arrived: all of it counts from then on
    published = [a for a in log if a.seq <= watermark and a.available_ms < request_ms]
    row = [
        past(a.item_id, a.time_ms, duration_s=a.duration_s)
        for a in sorted(published, key=lambda a: a.time_ms)
    ]
    merged = merge(row, watermark, log, request_ms=request_ms, length=1_000)

    def of(actions):
        return sorted((a.item_id, a.time_ms) for a in actions)

    assert of(merged) == of(a for a in log if a.available_ms < request_ms)
    assert [a.time_ms for a in merged] == sorted(a.time_ms for a in merged)


def test_an_action_of_the_row_that_ends_at_the_requests_own_moment_does_not_count():
    row = [past("i:1", 1_000, duration_s=4.0)]
    assert merge(row, 0, [], request_ms=5_000, length=9) == []
    assert merge(row, 0, [], request_ms=5_001, length=9) == row
