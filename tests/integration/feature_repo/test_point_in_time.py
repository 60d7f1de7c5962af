"""Point-in-time joins against a slow, obvious loop."""

from pathlib import Path

import numpy as np
import pytest

from feature_repo.client import FeatureStore
from feature_repo.definitions import EncoderView
from feature_repo.settings import StoreSettings
from homefeed.errors import FeatureStoreError

pytestmark = pytest.mark.integration

DAY_S = 86_400
FIRST_S = 20_000 * DAY_S
ENCODER = "aaaa1111" * 2


@pytest.fixture
def history(tmp_path: Path, clock) -> FeatureStore:
    store = FeatureStore(tmp_path / "feast", clock=clock)
    store.apply([EncoderView(hash=ENCODER, dim=8)])
    return store


def _join(store, times_ms, users=None, labels=None):
    users = users or ["i:0"] * len(times_ms)
    return store.point_in_time(users, np.array(times_ms, np.int64), ENCODER, labels=labels)


def test_a_row_counts_only_strictly_after_its_time_and_until_its_time_to_live(
    history, write_vectors, random_vectors
):
    history.publish_user_vectors(
        ENCODER, write_vectors(random_vectors(1)), FIRST_S, created_s=FIRST_S
    )
    start, end = FIRST_S * 1000, (FIRST_S + 3 * DAY_S) * 1000
    joined = _join(history, [start - 1, start, start + 1, end, end + 1])
    assert joined.found.tolist() == [False, False, True, True, False]
    assert joined.as_of_s.tolist() == [0, 0, FIRST_S, FIRST_S, 0]
    assert not joined.vectors[0].any()


def test_a_row_that_was_created_later_is_not_used_before(history, write_vectors, random_vectors):
    created_s = FIRST_S + 3_600
    history.publish_user_vectors(
        ENCODER, write_vectors(random_vectors(1)), FIRST_S, created_s=created_s
    )
    joined = _join(history, [created_s * 1000 - 1, created_s * 1000, created_s * 1000 + 1])
    assert joined.found.tolist() == [False, False, True]


def test_a_repair_is_used_from_its_creation_on_and_the_first_rows_before(
    history, write_vectors, random_vectors
):
    bad, good, repaired_s = random_vectors(1), random_vectors(2), FIRST_S + 7_200
    history.publish_user_vectors(ENCODER, write_vectors(bad), FIRST_S, created_s=FIRST_S)
    history.publish_user_vectors(ENCODER, write_vectors(good), FIRST_S, created_s=repaired_s)
    joined = _join(history, [repaired_s * 1000 - 1, repaired_s * 1000 + 1])
    assert joined.vectors[0].tobytes() == bad[0].tobytes()
    assert joined.vectors[1].tobytes() == good[0].tobytes()


def test_requests_of_one_user_in_one_second_all_keep_their_rows_and_labels(
    history, write_vectors, random_vectors
):
    vectors = random_vectors(1)
    history.publish_user_vectors(ENCODER, write_vectors(vectors), FIRST_S, created_s=FIRST_S)
    users = ["i:3"] * 500 + ["i:4"] * 500 + ["i:3"] * 500
    times = [(FIRST_S + 60) * 1000] * 1_500
    labels = np.random.default_rng(0).integers(0, 2, size=(1_500, 3), dtype=np.uint8)
    joined = _join(history, times, users, labels)
    wanted = vectors[[3] * 500 + [4] * 500 + [3] * 500]
    assert joined.found.all()
    assert joined.vectors.tobytes() == wanted.tobytes()


def test_the_join_equals_a_loop_over_all_published_rows(tmp_path, clock, write_vectors):
    """Reference: for each request, the newest row published before it, one by one."""
    chunks = StoreSettings(join_rows=97)
    history = FeatureStore(tmp_path / "feast", settings=chunks, clock=clock)
    history.apply([EncoderView(hash=ENCODER, dim=8)])
    rng = np.random.default_rng(5)
    published = []
    for day in range(5):
        vectors = rng.normal(size=(20 + day, 8)).astype(np.float32)
        as_of_s, created_s = FIRST_S + day * DAY_S, FIRST_S + day * DAY_S + int(rng.integers(7_200))
        history.publish_user_vectors(ENCODER, write_vectors(vectors), as_of_s, created_s=created_s)
        published.append((as_of_s, created_s, vectors))
    users = rng.integers(0, 30, size=400)
    times_ms = rng.integers((FIRST_S - 3_600) * 1000, (FIRST_S + 9 * DAY_S) * 1000, size=400)
    joined = _join(history, times_ms, [f"i:{user}" for user in users])
    for row, (user, time_ms) in enumerate(zip(users, times_ms, strict=True)):
        usable = [
            (as_of_s, vectors[user])
            for as_of_s, created_s, vectors in published
            if user < len(vectors)
            and max(as_of_s, created_s) * 1000 < time_ms <= (as_of_s + 3 * DAY_S) * 1000
        ]
        assert joined.found[row] == bool(usable)
        if usable:
            as_of_s, vector = max(usable, key=lambda each: each[0])
            assert joined.as_of_s[row] == as_of_s
            assert joined.vectors[row].tobytes() == vector.tobytes()
        else:
            assert not joined.vectors[row].any()


def test_a_join_that_loses_rows_is_refused(history, write_vectors, random_vectors, monkeypatch):
    """As Feast's default engine does: rows without a feature, and duplicates, are gone."""
    from feature_repo import offline

    history.publish_user_vectors(
        ENCODER, write_vectors(random_vectors(1)), FIRST_S, created_s=FIRST_S
    )
    joined = offline._joined
    monkeypatch.setattr(offline, "_joined", lambda *a: joined(*a).unique("user_id"))
    with pytest.raises(FeatureStoreError, match="took 3 requests and gave 1"):
        _join(history, [(FIRST_S + 60) * 1000] * 3)


def test_a_join_that_mixes_up_labels_is_refused(
    history, write_vectors, random_vectors, monkeypatch
):
    from feature_repo import offline

    history.publish_user_vectors(
        ENCODER, write_vectors(random_vectors(1)), FIRST_S, created_s=FIRST_S
    )
    joined = offline._joined

    def mixed(*arguments):
        frame = joined(*arguments)
        return frame.with_columns(frame["label_hash"].reverse())

    monkeypatch.setattr(offline, "_joined", mixed)
    with pytest.raises(FeatureStoreError, match="other labels"):
        _join(history, [(FIRST_S + 60) * 1000] * 2, labels=np.array([0, 1]))


def test_joining_before_anything_was_published_says_so(history):
    with pytest.raises(FeatureStoreError, match="nothing was published"):
        _join(history, [FIRST_S * 1000])
