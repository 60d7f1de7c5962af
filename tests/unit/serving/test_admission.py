import pytest

from serving.admission import Admission
from serving.dependency import DependencyError
from serving.requests import RequestError


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def score(place: Admission, clock: Clock, candidates: int, spent_s: float) -> None:
    with place.admitted(candidates):
        clock.now_s += spent_s


def test_nothing_is_refused_before_anything_was_measured(clock):
    place = Admission(budget_ms=100, now_s=clock)
    with place.admitted(100), place.admitted(100), place.admitted(100):
        assert place.waiting == 300
    assert place.waiting == 0


def test_a_request_that_could_not_end_in_time_is_refused_at_once(clock):
    place = Admission(budget_ms=100, now_s=clock)
    score(place, clock, 100, 0.04)  # 0.4 ms a candidate
    with place.admitted(100):
        with place.admitted(100):  # foretold 80 ms
            with pytest.raises(RequestError, match="scoring would take 120 ms") as refused:
                place.admitted(100).__enter__()
            assert place.waiting == 200  # the refused one left nothing behind
        with place.admitted(100):
            pass
    assert refused.value.status == 429


def test_more_candidates_need_more_room(clock):
    place = Admission(budget_ms=100, now_s=clock)
    score(place, clock, 100, 0.04)
    with place.admitted(100):
        with pytest.raises(RequestError):
            place.admitted(500).__enter__()
        with place.admitted(50):
            pass


def test_time_spent_waiting_is_not_taken_for_cost(clock):
    place = Admission(budget_ms=100, now_s=clock)
    score(place, clock, 100, 0.04)
    first, second = place.admitted(100), place.admitted(100)
    first.__enter__()
    second.__enter__()
    clock.now_s += 0.04
    first.__exit__(None, None, None)
    clock.now_s += 0.04
    second.__exit__(None, None, None)  # took 80 ms with 100 candidates ahead of its own
    with place.admitted(100), place.admitted(100):  # still 0.4 ms a candidate
        pass


def test_a_failed_request_gives_its_place_back(clock):
    place = Admission(budget_ms=100, now_s=clock)
    with pytest.raises(ValueError, match="broken"), place.admitted(100):
        raise ValueError("broken")
    assert place.waiting == 0


def test_a_scorer_that_was_slow_is_found_fast_again(clock):
    place = Admission(budget_ms=100, now_s=clock)
    score(place, clock, 100, 5.0)
    with place.admitted(100), pytest.raises(RequestError):
        place.admitted(100).__enter__()
    for _ in range(40):
        score(place, clock, 100, 0.01)  # each finds nobody waiting
    with place.admitted(100), place.admitted(100):
        pass


def lose(place: Admission, clock: Clock) -> None:
    def late() -> None:
        with place.admitted(100):
            clock.now_s += 1.0
            raise DependencyError("no answer within 1000 ms")

    with pytest.raises(DependencyError):
        late()


def test_while_the_scorer_is_gone_one_request_at_a_time_asks_and_no_other_waits(clock):
    place = Admission(budget_ms=100, now_s=clock)
    score(place, clock, 100, 0.04)
    lose(place, clock)
    with place.admitted(100):
        with pytest.raises(DependencyError, match="no answer within 1000 ms; another request"):
            place.admitted(100).__enter__()
        assert place.waiting == 100
    with place.admitted(100), place.admitted(100):  # the one that asked was answered
        pass


def test_a_scorer_that_is_back_is_as_fast_as_it_was(clock):
    place = Admission(budget_ms=100, now_s=clock)
    score(place, clock, 100, 0.04)
    for _ in range(9):
        lose(place, clock)
    score(place, clock, 100, 0.04)
    with place.admitted(100), place.admitted(100):  # still 0.4 ms a candidate
        pass
