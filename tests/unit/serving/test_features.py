from dataclasses import replace

import numpy as np
import pytest

from feature_repo.online import OnlineFeatures, OnlineSequence
from serving.features import stored_user

SEQUENCE = OnlineSequence(
    item_ids=("i:3", "s:b", "i:1"),
    action_types=("like", "click", "watch"),
    surfaces=("home", "", "home"),
    times_s=np.array([30, 20, 10]),
    durations_s=np.array([1.5, 0.0, 2.0], np.float32),
    flags=np.array([1, 1, 4], np.uint8),
)
FEATURES = OnlineFeatures(
    user="i:7",
    feature_service="release_x",
    vector=np.array([0.6, 0.8], np.float32),
    vector_as_of_s=100,
    vector_age_s=50.0,
    sequence=SEQUENCE,
    sequence_as_of_s=100,
    sequence_age_s=50.0,
    watermark=12,
)


def test_the_sequence_is_turned_oldest_first_with_times_in_milliseconds():
    user = stored_user(FEATURES)
    assert [action.item_id for action in user.row] == ["i:1", "s:b", "i:3"]
    assert [action.time_ms for action in user.row] == [10_000, 20_000, 30_000]
    assert [action.duration_s for action in user.row] == [2.0, 0.0, 1.5]
    assert [action.time_known for action in user.row] == [False, True, True]
    assert user.watermark == 12


def test_a_user_without_any_row_is_unknown():
    assert stored_user(replace(FEATURES, vector=None, vector_as_of_s=None, sequence=None)) is None


def test_a_user_with_a_sequence_only_is_known_without_a_vector():
    user = stored_user(replace(FEATURES, vector=None, vector_as_of_s=None, vector_age_s=None))
    assert len(user.row) == 3
    assert user.why_no_vector == "the feature store has no vector of this user"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"vector": None, "vector_age_s": 8.5 * 86_400}, "the user's vector is 8.5 days old"),
        ({"vector": None, "vector_age_s": -3.0}, "made after this request's time"),
        ({"vector": np.zeros(2, np.float32)}, "the user's vector is empty"),
    ],
)
def test_a_vector_that_cannot_be_used_says_why(change, says):
    user = stored_user(replace(FEATURES, **change))
    assert user.vector is None
    assert says in user.why_no_vector
