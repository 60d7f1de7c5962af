import math

import numpy as np
import polars as pl
import pytest

from homefeed.artifacts import hash_json
from homefeed.data.contract import DatasetSpec, write_dataset
from homefeed.data.world import world_config, write_world
from homefeed.data.world.config import Laws
from homefeed.data.world.moments import moments
from homefeed.data.world.policy import PolicyWeights
from homefeed.data.world.truth.memory import DONE, LIKED, SEEN
from homefeed.data.world.truth.response import DURATION_SPREAD, LONG_S, Match, tendencies

DAY_MS = 86_400_000


def test_moments_of_a_log_that_can_be_counted_by_hand(tmp_path):
    rows = [  # user, item, type, ms
        (1, 10, "save", 0),
        (1, 11, "save", 60_000),
        (1, 10, "hide", 61_000),
        (1, 10, "save", 25 * DAY_MS),  # a repeat
        (2, 10, "save", 10 * DAY_MS),
        (2, 12, "save", 30 * DAY_MS),  # on an item nobody acted on before
    ]
    names = ["user_id", "item_id", "action_type", "timestamp"]
    spec = DatasetSpec(name="hand", files={}, positive=("save",), negative=("hide",))
    table = pl.DataFrame(rows, schema=names, orient="row")
    found = moments(write_dataset(tmp_path / "hand", spec, {"actions": table}))
    assert (found.users, found.items, found.days) == (2, 3, 30)
    assert found.actions_median == 3
    assert found.top_1_percent == pytest.approx(3 / 5)
    assert found.gini == pytest.approx((3 + 1 - 2 * (1 / 5 + 2 / 5 + 5 / 5)) / 3)
    assert found.repeats == pytest.approx(1 / 2)
    assert found.unseen_items == pytest.approx(1 / 2)
    assert found.session_mean == pytest.approx(6 / 4)
    assert found.single_sessions == pytest.approx(3 / 4)
    assert math.isnan(found.impression_positive)


def test_the_laws_are_frozen():
    """Calibrated once (docs/lab_log.md, "The world, frozen"): a change makes another world."""
    laws = [vars(Laws()), vars(PolicyWeights()), SEEN, LIKED, DONE, LONG_S, DURATION_SPREAD]
    assert hash_json(laws) == FROZEN


FROZEN = "0632b2aeeb680071"


def test_the_response_to_one_match_is_frozen():
    match = Match(
        **dict.fromkeys(("interest", "intent", "freshness"), np.array([[0.5]])),
        **dict.fromkeys(("taste", "quality", "boredom"), np.array([[0.3]])),
        **dict.fromkeys(("eagerness", "saves", "clicks"), np.array([[0.1]])),
    )
    expected = tendencies(match, np.array([[3]]), Laws()).expected()
    assert {name: round(float(value[0, 0]), 6) for name, value in expected.items()} == RESPONSE


RESPONSE = {
    "closeup": 0.350563,
    "save": 0.086894,
    "click": 0.094281,
    "hide": 0.003105,
    "positive": 0.295644,
}


def test_the_world_stays_inside_the_calibrated_bands(tmp_path):
    found = moments(write_world(tmp_path / "world", world_config("small", users=500)))
    bands = {
        "actions_median": (30, 75),
        "actions_p90_to_median": (2.5, 5.5),
        "top_10_percent": (0.35, 0.6),
        "gini": (0.5, 0.75),
        "repeats": (0.03, 0.11),
        "unseen_items": (0.03, 0.15),
        "session_mean": (8, 20),
        "impression_positive": (0.05, 0.16),
    }
    outside = {k: getattr(found, k) for k, (a, b) in bands.items() if not a < getattr(found, k) < b}
    assert not outside
