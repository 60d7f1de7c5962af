"""A day that is published again replaces the day, on every online store that the machine has."""

import pytest

pytestmark = pytest.mark.integration

DAY_S = 86_400
TODAY_S = 20_000 * DAY_S
OLD, NEW = "aaaa1111" * 2, "bbbb2222" * 2


def test_a_repaired_day_overwrites(store, write_vectors, random_vectors):
    bad, good = random_vectors(1), random_vectors(2)
    store.publish_user_vectors(OLD, write_vectors(bad), TODAY_S)
    report = store.publish_user_vectors(OLD, write_vectors(good), TODAY_S)
    assert report.written == len(good)
    assert store.read_online("release_old", "i:9").vector.tobytes() == good[9].tobytes()


def test_a_repaired_day_takes_back_the_users_of_the_bad_run(
    store, write_vectors, random_vectors, sequences
):
    bad, good = random_vectors(1, users=120), random_vectors(2, users=70)
    store.publish_user_vectors(OLD, write_vectors(bad), TODAY_S - DAY_S)
    store.publish_user_vectors(OLD, write_vectors(bad[:100]), TODAY_S)
    store.publish_user_vectors(NEW, write_vectors(bad), TODAY_S)
    store.publish_sequences(sequences(users=3), TODAY_S, watermark=41)
    store.publish_user_vectors(OLD, write_vectors(good), TODAY_S)
    store.publish_sequences(sequences(users=2), TODAY_S, watermark=41)
    now_s = TODAY_S + 1
    kept, phantom, earlier = store.read_online_many("release_old", ["i:69", "i:70", "i:100"], now_s)
    assert kept.vector.tobytes() == good[69].tobytes()
    assert (phantom.vector, phantom.vector_as_of_s) == (None, None)
    assert earlier.vector_as_of_s == TODAY_S - DAY_S  # of another day, which was not repaired
    assert store.read_online("release_new", "i:70", now_s).vector.tobytes() == bad[70].tobytes()
    known = [store.read_online("release_old", f"s:ü{user}", now_s).sequence for user in range(3)]
    assert [each is not None for each in known] == [True, True, False]
