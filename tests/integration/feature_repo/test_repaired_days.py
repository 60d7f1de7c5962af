"""A day that is published again replaces the day, on every online store that the machine has."""

import pytest

from feature_repo import client, redis_rows
from feature_repo.writers import entity_key_bytes, write_online

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


def test_a_repair_that_is_broken_off_leaves_nothing_that_the_next_day_does_not_mend(
    store, write_vectors, random_vectors, monkeypatch
):
    bad, good = random_vectors(1, users=120), random_vectors(2, users=100)
    store.publish_user_vectors(OLD, write_vectors(bad), TODAY_S)

    def first_batch_only(connection, view, batches, *times):
        write_online(connection, view, [next(iter(batches))], *times)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(client, "write_online", first_batch_only)
        with pytest.raises(KeyboardInterrupt):
            store.publish_user_vectors(OLD, write_vectors(good), TODAY_S)
    store.publish_user_vectors(OLD, write_vectors(good), TODAY_S + DAY_S)
    now_s = TODAY_S + DAY_S + 1
    first, last, phantom = store.read_online_many("release_old", ["i:0", "i:99", "i:100"], now_s)
    assert first.vector.tobytes() == good[0].tobytes()
    assert last.vector.tobytes() == good[99].tobytes()
    assert (phantom.vector, phantom.vector_as_of_s) == (None, None)


@pytest.mark.parametrize("settings", ["redis"], indirect=True)
def test_a_row_that_was_written_anew_since_it_was_found_is_not_deleted(
    store, write_vectors, random_vectors
):
    vectors = random_vectors(1)
    store.publish_user_vectors(OLD, write_vectors(vectors), TODAY_S)
    view = store.connection.encoder_view(OLD)
    found = redis_rows.keys_at(store.connection, view, TODAY_S)
    store.publish_user_vectors(OLD, write_vectors(vectors[:1]), TODAY_S + DAY_S)
    assert entity_key_bytes("i:0") in found
    redis_rows.delete(store.connection, view, found, TODAY_S)
    kept, gone = store.read_online_many("release_old", ["i:0", "i:1"], TODAY_S + DAY_S + 1)
    assert kept.vector.tobytes() == vectors[0].tobytes()
    assert gone.vector_as_of_s is None
