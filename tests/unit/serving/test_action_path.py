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
