import asyncio
import json

import pytest

from serving.action_path import record
from serving.explain import ExplanationStore
from serving.log_writer import LogWriter

NOW_MS = 1_700_000_000_000
GOOD = {"user_id": 1, "item_id": 2, "action_type": "click"}


@pytest.mark.parametrize(
    "bad",
    [
        {"duration_s": 10**400},
        {"timestamp": -(10**400)},
        {"timestamp": "\ud800"},
        {"surface": "\ud800"},
        {"item_id": "\ud800"},
        {"\ud800": 1},
    ],
)
def test_a_value_that_nothing_can_hold_refuses_its_own_action_alone(bad, log, tmp_path):
    writer = LogWriter(log, ExplanationStore(tmp_path / "explain.db", limit=3))
    actions = [GOOD, {**GOOD, **bad}, {**GOOD, "item_id": 3}]
    answer = asyncio.run(record(actions, NOW_MS, {"click"}, writer))
    writer.close()
    assert [result["status"] for result in answer["results"]] == ["accepted", "refused", "accepted"]
    assert answer["results"][1]["error"].startswith("actions[1]: ")
    json.dumps(answer, ensure_ascii=False).encode()  # as it is sent


@pytest.mark.parametrize("left_out", [{}, {"timestamp": None}])
def test_an_action_without_a_time_is_recorded_once_however_late_it_is_posted_again(world, left_out):
    untimed = [{**GOOD, "event_id": "a", **left_out}]
    answers = [asyncio.run(world.path.record(NOW_MS + late, untimed)) for late in (0, 2_000)]
    assert [answer["results"][0]["status"] for answer in answers] == ["accepted", "duplicate"]
    moved = [{**untimed[0], "timestamp": NOW_MS / 1000 - 5}]
    assert asyncio.run(world.path.record(NOW_MS, moved))["refused"] == 1, "another time is told"


def test_each_posted_action_has_its_own_result(world):
    def click(item, **changes):
        return {"user_id": 7, "item_id": item, "action_type": "click", **changes}

    posted = [
        click(1001, event_id="a"),
        click(1001, event_id="a"),
        click(1002, event_id="a"),
        click(1001, action_type="clik"),
        "nonsense",
        click("brand new"),
    ]
    answer = asyncio.run(world.path.record(NOW_MS, posted))
    assert [result["status"] for result in answer["results"]] == [
        "accepted",
        "duplicate",
        "refused",
        "refused",
        "refused",
        "accepted",
    ]
    assert (answer["accepted"], answer["duplicates"], answer["refused"]) == (2, 1, 3)
    assert "actions[2]: event_id 'a' was recorded before" in answer["results"][2]["error"]
    assert "known are click, hide, like" in answer["results"][3]["error"]
