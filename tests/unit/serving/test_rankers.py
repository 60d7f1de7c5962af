"""A scorer follows the ledger at another moment than the service that asks it."""

from types import SimpleNamespace

import numpy as np
import pytest

from homefeed.errors import ReleaseError
from serving.catalog import Catalog, Source, Wanted
from serving.rankers import Rankers
from serving.scoring import ScoreRequest

KEEP_S = 60.0


class Place:
    """A ledger, a scorer's catalog and a service's one; only a test moves their clocks."""

    def __init__(self) -> None:
        self.champion, self.now_s, self.loads, self.looks = 1, 0.0, [], 0
        self.service_loads = True
        self.scorers = Catalog(
            Source(wanted=self.wanted, key=self.key, load=self.load),
            poll_s=2.0,
            keep_s=KEEP_S,
            clock=lambda: self.now_s,
        )
        self.rankers = Rankers(self.scorers)
        source = Source(wanted=self.wanted, key=self.key, load=self.released, usable=self.usable)
        self.service = Catalog(source, poll_s=2.0)

    def wanted(self) -> Wanted:
        self.looks += 1
        return Wanted(champion=self.champion)

    def key(self, version: int) -> str:
        return f"{version}@day1"

    def load(self, version: int) -> SimpleNamespace:
        self.loads.append(version)
        return SimpleNamespace(score=lambda *_: np.full((1, 1), version, np.float32))

    def released(self, version: int) -> int:
        if version != 1 and not self.service_loads:
            raise ReleaseError("its index is missing")
        return version

    def usable(self, keys) -> dict[int, str]:
        loaded = self.rankers.loaded()
        return {v: "not loaded" for v, key in keys.items() if loaded.get(v) != key}

    def answer(self) -> int:
        """The release whose scorer answers a request that the service takes now."""
        return self.score(self.service.current.wanted.champion)

    def score(self, version: int) -> int:
        request = ScoreRequest(
            release=version, request_time_s=0, items=np.zeros(0), actions=np.zeros(0),
            surface=0, vector=None, vector_age_s=0, candidates=np.zeros(1), familiarity=None,
        )  # fmt: skip
        return int(self.rankers.score(request)[0, 0])


@pytest.fixture
def place() -> Place:
    place = Place()
    place.scorers.refresh()
    place.service.refresh()
    return place


def test_the_old_release_is_scored_until_the_service_has_the_new_one(place):
    place.champion = 2
    place.scorers.refresh()
    looks = place.looks
    assert place.answer() == 1
    assert place.looks == looks  # and no request looked at the ledger for it
    place.service.refresh()
    assert place.answer() == 2
    assert place.rankers.loaded() == {2: "2@day1"}


def test_what_nobody_asks_for_is_dropped_after_its_time(place):
    place.champion = 2
    place.scorers.refresh()
    place.now_s = KEEP_S
    place.scorers.refresh()
    with pytest.raises(ReleaseError, match="release version 1 is not loaded by the scorer"):
        place.score(1)


def test_a_service_that_cannot_load_the_new_release_is_answered_for_as_long_as_it_asks(place):
    place.champion, place.service_loads = 2, False
    for _ in range(5):
        place.scorers.refresh()
        place.service.refresh()
        place.now_s += 0.9 * KEEP_S
        assert place.answer() == 1


def test_a_rollback_finds_the_scorer_that_is_still_kept(place):
    place.champion = 2
    place.scorers.refresh()
    place.champion = 1
    place.scorers.refresh()
    assert place.score(1) == 1
    assert place.loads == [1, 2]


def test_however_many_releases_are_promoted_few_are_kept(place):
    for version in range(2, 40):
        place.champion = version
        place.scorers.refresh()
    assert sorted(place.scorers.current.left) == list(range(31, 39))
