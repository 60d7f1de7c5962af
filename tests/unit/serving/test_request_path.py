import asyncio

import numpy as np
import pytest

from homefeed.errors import UnknownIdError
from serving.requests import RankingRequest, RequestError
from serving.sequence import PastAction
from serving.served import RunningTest, Served
from serving.user_state import StoredUser

DAY_MS = 86_400_000
AT_MS = 10 * DAY_MS


def feed(world, user=7, *, k=5, time_ms=AT_MS, candidates=None) -> dict:
    request = RankingRequest(
        user_id=user, k=k, surface="home", time_ms=time_ms, candidates=candidates
    )
    return asyncio.run(world.path.rank(request, {}))


def post(world, actions: list, arrived_ms=AT_MS - 1_000) -> dict:
    return asyncio.run(world.path.record(arrived_ms, actions))


def click(item: int, user=7, **changes) -> dict:
    return {"user_id": user, "item_id": item, "action_type": "click", **changes}


def items(answer: dict) -> list[int]:
    return [item["item_id"] for item in answer["items"]]


@pytest.fixture
def known(world):
    """User 7 has a vector a day old and one published action."""
    world.users.rows["i:7"] = StoredUser(
        vector=world.vectors[3],
        vector_age_s=86_400.0,
        row=[PastAction("i:1003", "click", "home", AT_MS - 2 * DAY_MS)],
    )
    return world


def user_seven(world):
    """What the scorer is given of user 7 as ``known`` makes them, at AT_MS."""
    from homefeed.models.scorer import UserFeatures

    return UserFeatures(
        request_time_s=AT_MS // 1000,
        items=np.array([3]),
        actions=np.array([1]),
        surface=1,
        vector=world.vectors[3],
        vector_age_s=86_400.0,
    )


def test_a_known_user_gets_scored_items_best_first_and_a_full_answer(known):
    answer = feed(known)
    scores = [item["score"] for item in answer["items"]]
    assert len(scores) == 5
    assert scores == sorted(scores, reverse=True)
    assert answer["degraded"] is None
    assert answer["reasons"] == []
    assert answer["release"] == 1


def test_the_scores_are_those_of_the_ranker_for_the_same_features(known):
    answer = feed(known, candidates=(1010, 1020, 1030), k=3)
    heads = known.scorer.score(user_seven(known), np.array([10, 20, 30]))
    wanted = dict(zip((1010, 1020, 1030), heads.sum(axis=1), strict=True))
    for item in answer["items"]:
        assert item["score"] == pytest.approx(wanted[item["item_id"]], abs=1e-5)
    assert items(answer) == sorted(wanted, key=wanted.get, reverse=True)


def test_an_action_that_was_posted_is_in_the_next_requests_sequence(known):
    before = known.path.explain(feed(known, time_ms=AT_MS - 5_000)["request_id"])
    assert post(known, [click(1050)], arrived_ms=AT_MS - 1_000)["accepted"] == 1
    after = known.path.explain(feed(known)["request_id"])
    assert before["features"]["sequence_length"] == 1
    assert after["features"]["sequence_length"] == 2


def test_an_arm_without_real_time_reads_only_what_was_published(known, make_release):
    known.served = Served(champion=1, releases={1: make_release(realtime=False)})
    post(known, [click(1050)])
    answer = feed(known, k=20)
    assert known.path.explain(answer["request_id"])["features"]["sequence_length"] == 1
    assert 1050 not in items(answer)  # but what was seen does not come back


def test_items_acted_on_or_shown_lately_do_not_come_back(known):
    post(known, [click(1005), click(1003)])
    first = feed(known, k=10, time_ms=AT_MS)
    second = feed(known, k=10, time_ms=AT_MS + 1_000)
    assert not set(items(first)) & {1005, 1003}
    assert not set(items(second)) & {*items(first), 1005, 1003}


def test_an_action_of_later_hides_nothing_from_a_request_of_before(known):
    before = items(feed(known, k=20))
    post(known, [click(before[0], timestamp=AT_MS // 1000 + 60)], arrived_ms=AT_MS + 60_000)
    again = feed(known, k=20, time_ms=AT_MS - 1)
    assert before[0] in items(again)


def test_items_that_were_only_shown_come_back_after_the_window(known):
    first = items(feed(known, k=5, time_ms=AT_MS))
    later = feed(known, k=5, time_ms=AT_MS + 2 * DAY_MS)
    ranked = {each["item_id"] for each in known.path.explain(later["request_id"])["candidates"]}
    assert set(first) <= ranked


def test_a_small_catalogue_shows_again_what_was_only_shown(known):
    for hour in range(4):
        answer = feed(known, k=19, time_ms=AT_MS + hour * 1_000)
        assert len(answer["items"]) == 19
        assert 1003 not in items(answer)


def test_a_new_user_is_served_popular_items_and_told_so(world):
    answer = feed(world, user="nobody")
    assert items(answer) == [1060, 1059, 1058, 1057, 1056]
    assert answer["degraded"] == "popular_items"
    assert answer["reasons"] == ["the feature store does not know this user"]
    assert all(item["score"] is None for item in answer["items"])


def test_a_new_user_with_actions_of_today_is_ranked_by_them(world):
    post(world, [click(1010, user="new")])
    answer = feed(world, user="new")
    assert answer["degraded"] == "no_user_embedding"
    assert answer["items"][0]["score"] is not None
    assert "user_vector" not in {item["source"] for item in answer["items"]}


def test_without_the_feature_store_the_answer_degrades_to_todays_actions(known):
    known.users.fault = OSError("connection refused")
    post(known, [click(1010)])
    answer = feed(known)
    assert answer["degraded"] == "no_user_embedding"
    assert answer["reasons"] == ["the feature store failed: connection refused"]


def test_without_the_feature_store_and_without_actions_it_is_popular_items(known):
    known.users.fault = OSError("connection refused")
    answer = feed(known)
    assert answer["degraded"] == "popular_items"
    assert len(answer["items"]) == 5


def test_without_the_event_log_the_answer_has_no_real_time_actions(known, rename_table):
    post(known, [click(1010)])
    rename_table("actions", "gone")
    answer = feed(known)
    assert answer["degraded"] == "no_realtime_actions"
    assert answer["reasons"] == ["the event log failed: no such table: actions"]
    assert answer["items"][0]["score"] is not None


def test_without_the_event_log_a_release_without_real_time_says_so_too(
    known, make_release, rename_table
):
    known.served = Served(champion=1, releases={1: make_release(realtime=False)})
    rename_table("actions", "gone")
    assert feed(known)["degraded"] == "no_realtime_actions"  # items of the log may come back


def test_without_the_scorer_the_answer_is_popular_items(known, make_release):
    known.served = Served(champion=3, releases={3: make_release(3)})
    answer = feed(known)
    assert answer["degraded"] == "popular_items"
    assert "release version 3 is not loaded" in answer["reasons"][0]


def test_beyond_what_can_be_scored_in_time_requests_are_refused_and_none_is_degraded(known):
    """Overload answers 429 early: it does not time out, and it does not show popular items."""
    known.path._admission.budget_ms = 0.001

    async def many() -> list:
        await known.path.rank(asked(7), {})  # from this one the cost is known
        return await asyncio.gather(
            *(known.path.rank(asked(7), {}) for _ in range(5)), return_exceptions=True
        )

    def asked(user: int) -> RankingRequest:
        return RankingRequest(user_id=user, k=3, surface="", time_ms=AT_MS)

    outcomes = asyncio.run(many())
    refused = [each for each in outcomes if isinstance(each, RequestError)]
    answered = [each for each in outcomes if isinstance(each, dict)]
    assert {each.status for each in refused} == {429}
    assert len(refused) + len(answered) == 5
    assert refused
    assert answered
    assert {each["degraded"] for each in answered} == {None}


def test_why_a_user_has_no_vector_is_told(known):
    known.users.rows["i:7"] = StoredUser(why_no_vector="the user's vector is 8.0 days old")
    answer = feed(known)
    assert answer["degraded"] == "popular_items"
    assert answer["reasons"] == ["the user's vector is 8.0 days old"]


def test_an_unknown_candidate_is_named(known):
    with pytest.raises(UnknownIdError, match=r"candidates\[1\] is item 'x', which release 1"):
        feed(known, candidates=(1001, "x"), k=2)


def test_a_rank_of_seen_candidates_ranks_them_all_the_same(known):
    post(known, [click(1005)])
    assert set(items(feed(known, candidates=(1005, 1003), k=2))) == {1005, 1003}


def test_every_answer_is_logged_as_an_exposure(known):
    shown = feed(known)
    (exposure,) = known.log.exposures()
    assert exposure.request_id == shown["request_id"]
    assert [item for item, _, _ in exposure.items] == [f"i:{item}" for item in items(shown)]
    assert (exposure.time_ms, exposure.surface, exposure.release_hash) == (AT_MS, "home", "hash1")


def test_users_of_a_running_test_are_answered_by_their_arms_release(known, make_release):
    test = RunningTest(
        name="t",
        arms={"control": 1, "treatment": 2},
        arm_of={"i:7": "treatment", "i:8": "control"}.get,
    )
    known.served = Served(
        champion=1, releases={1: make_release(1), 2: make_release(2)}, tests=(test,)
    )
    answers = [feed(known, user) for user in (7, 8, 9)]
    assert [(a["test"], a["arm"], a["release"]) for a in answers] == [
        ("t", "treatment", 2),
        ("t", "control", 1),
        (None, None, 1),
    ]
    assert [e.arm for e in known.log.exposures(test="t")] == ["treatment", "control"]


def test_an_explanation_tells_sources_filters_ages_and_head_scores(known):
    post(known, [click(1005)])
    told = known.path.explain(feed(known)["request_id"])
    assert told["assignment"] == {"test": None, "arm": None}
    assert told["features"]["vector_age_s"] == 86_400
    assert told["filters"]["acted_on"] == 2
    assert told["candidates_per_source"] == {
        "user_vector": 16,
        "popular": 3,
        "recent": 1,
        "request": 0,
    }
    assert set(told["candidates"][0]["heads"]) == {"click", "like"}
    assert told["release"]["version"] == 1
    assert known.path.explain("unknown") is None


def test_requests_at_once_are_all_logged(known):
    async def many() -> list[dict]:
        requests = [
            RankingRequest(user_id=user, k=3, surface="", time_ms=AT_MS) for user in range(30)
        ]
        return await asyncio.gather(*(known.path.rank(request, {}) for request in requests))

    answers = asyncio.run(many())
    logged = {exposure.request_id for exposure in known.log.exposures()}
    assert logged == {answer["request_id"] for answer in answers}


def test_the_ranker_is_told_what_was_shown_and_acted_on_before(known):
    from homefeed.data.familiarity import familiarity

    day_ago, five_days_ago = AT_MS - DAY_MS - 1, AT_MS - 5 * DAY_MS
    known.users.rows["i:7"] = StoredUser(
        vector=known.vectors[3],
        vector_age_s=86_400.0,
        row=[PastAction("i:1003", "click", "home", AT_MS - 2 * DAY_MS)],
        shown_ms={"i:1010": five_days_ago, "i:1020": five_days_ago},
    )
    again = items(feed(known, k=3, time_ms=day_ago))  # the log's showing is the newer one
    candidates = (1003, 1010, 1020, 1030, *again)
    answer = feed(known, candidates=candidates, k=len(candidates))
    index = np.array(candidates) - 1000
    last_ms = np.array([-1, five_days_ago, five_days_ago, -1, day_ago, day_ago, day_ago])
    last_ms = np.where(np.isin(index, np.array(again) - 1000), day_ago, last_ms)
    told = familiarity(index == 3, last_ms, AT_MS)
    wanted = known.scorer.score(user_seven(known), index, told).sum(axis=1)
    got = {item["item_id"]: item["score"] for item in answer["items"]}
    for item, score in zip(candidates, wanted, strict=True):
        assert got[item] == pytest.approx(score, abs=1e-5)
    shown_before = known.path.explain(answer["request_id"])["features"]["shown_before"]
    assert shown_before == len({1010, 1020, *again})  # the page may hold one of them again
