"""Publishing and reading online, on every online store that the machine has."""

import numpy as np
import pytest

from feature_repo.client import FeatureStore
from feature_repo.definitions import EncoderView, ReleaseService
from homefeed.artifacts import write_json
from homefeed.errors import FeatureStoreError, ReleaseError

pytestmark = pytest.mark.integration

DAY_S = 86_400
NOON_S = 20_000 * DAY_S + DAY_S // 2
TODAY_S = 20_000 * DAY_S
OLD, NEW = "aaaa1111" * 2, "bbbb2222" * 2
DIM = 8  # as in conftest


def test_two_releases_read_their_own_vectors_and_never_the_others(
    store, write_vectors, random_vectors
):
    old, new = random_vectors(1), random_vectors(2)
    store.publish_user_vectors(OLD, write_vectors(old), TODAY_S)
    alone = store.read_online("release_new", "i:7")
    assert (alone.vector, alone.vector_as_of_s) == (None, None)
    store.publish_user_vectors(NEW, write_vectors(new), TODAY_S)
    assert store.read_online("release_old", "i:7").vector.tobytes() == old[7].tobytes()
    assert store.read_online("release_new", "i:7").vector.tobytes() == new[7].tobytes()


def test_every_published_vector_reads_back_bit_for_bit(store, write_vectors):
    rng = np.random.default_rng(3)
    odd = rng.integers(0, 2**32, size=(200, 8), dtype=np.uint32).view(np.float32)
    odd = np.where(np.isfinite(odd), odd, np.float32(0))  # denormals, extremes, both zeros
    odd[0, :2] = [0.0, -0.0]
    report = store.publish_user_vectors(OLD, write_vectors(odd), TODAY_S)
    assert (report.users, report.written, report.read_back) == (200, 200, 64)
    users = [f"i:{user}" for user in range(200)]
    read = store.read_online_many("release_old", users)
    assert b"".join(each.vector.tobytes() for each in read) == odd.tobytes()


def test_publishing_the_same_day_again_changes_nothing(store, write_vectors, random_vectors):
    path = write_vectors(random_vectors(1))
    assert store.publish_user_vectors(OLD, path, TODAY_S).new_part
    before = store.read_online("release_old", "i:3")
    again = store.publish_user_vectors(OLD, path, TODAY_S)
    assert not again.new_part
    assert store.read_online("release_old", "i:3").vector.tobytes() == before.vector.tobytes()
    folder = store.connection.offline / f"user_embedding_{OLD[:8]}"
    assert len(list(folder.glob("*.parquet"))) == 1


def test_an_older_day_never_overwrites_a_newer_one(store, write_vectors, random_vectors):
    new, old = random_vectors(1, users=60), random_vectors(2, users=100)
    store.publish_user_vectors(OLD, write_vectors(new), TODAY_S)
    report = store.publish_user_vectors(OLD, write_vectors(old), TODAY_S - DAY_S)
    assert (report.written, report.kept_newer) == (40, 60)
    assert store.read_online("release_old", "i:59").vector.tobytes() == new[59].tobytes()
    assert store.read_online("release_old", "i:60").vector.tobytes() == old[60].tobytes()


@pytest.mark.parametrize(
    ("now_s", "served"),
    [
        (TODAY_S - 1, False),  # not yet valid
        (TODAY_S, False),  # strictly before the request
        (TODAY_S + 1, True),
        (TODAY_S + 3 * DAY_S, True),
        (TODAY_S + 3 * DAY_S + 1, False),  # its time to live is over
    ],
)
def test_a_vector_counts_only_while_it_lives(store, write_vectors, random_vectors, now_s, served):
    store.publish_user_vectors(OLD, write_vectors(random_vectors(1)), TODAY_S)
    features = store.read_online("release_old", "i:1", now_s)
    assert (features.vector is not None) is served
    assert features.vector_is_stale is not served
    assert features.vector_age_s == now_s - TODAY_S


def test_without_a_time_the_injected_clock_decides(store, clock, write_vectors, random_vectors):
    store.publish_user_vectors(OLD, write_vectors(random_vectors(1)), TODAY_S)
    assert store.read_online("release_old", "i:1").vector_age_s == NOON_S - TODAY_S
    clock.time_s = NOON_S + 10 * DAY_S
    assert store.read_online("release_old", "i:1").vector is None


def test_an_unknown_user_has_no_features(store, write_vectors, random_vectors):
    store.publish_user_vectors(OLD, write_vectors(random_vectors(1)), TODAY_S)
    nobody = store.read_online("release_old", "i:99999")
    assert (nobody.vector, nobody.sequence, nobody.watermark) == (None, None, 0)
    assert (nobody.vector_age_s, nobody.sequence_age_s) == (None, None)


def test_the_number_and_the_text_of_the_same_digits_are_different_users(
    store, write_vectors, random_vectors
):
    store.publish_user_vectors(OLD, write_vectors(random_vectors(1)), TODAY_S)
    assert store.read_online("release_old", "i:5").vector is not None
    assert store.read_online("release_old", "s:5").vector is None


def test_sequences_come_back_as_they_went_with_their_watermark(store, sequences):
    frame = sequences(users=3, length=4)
    report = store.publish_sequences(frame, NOON_S - 10, watermark=41)
    assert (report.written, report.read_back) == (3, 3)
    for service in ("release_old", "release_new"):  # shared by all arms
        features = store.read_online(service, "s:ü2")
        assert (features.watermark, features.sequence_as_of_s) == (41, NOON_S - 10)
        assert features.sequence.item_ids == ("i:20", "i:21", "i:22", "i:23")
        assert features.sequence.times_s.tolist() == frame["times_s"][2].to_list()
        assert features.sequence.durations_s.tolist() == [0.5, 1.5, 2.5, 3.5]
        assert len(features.sequence) == 4
        assert features.sequence.shown_items == ("i:2", "s:é")
        assert features.sequence.shown_ms == tuple(frame["shown_ms"][2])
        assert features.sequence.earlier_items == ("i:7", "s:ö2")
    assert store.describe_online("s:ü2", "release_old")["sequence"]["earlier_items"] == 2


def test_an_older_sequence_does_not_take_the_watermark_back(store, sequences):
    store.publish_sequences(sequences(newest_s=NOON_S - 100), NOON_S - 10, watermark=41)
    report = store.publish_sequences(sequences(newest_s=NOON_S - 900), NOON_S - 800, watermark=30)
    assert (report.written, report.kept_newer) == (0, 3)
    assert store.read_online("release_old", "s:ü0").watermark == 41


def test_users_of_two_logs_with_the_same_ids_have_sequences_of_their_own(store, sequences):
    store.apply(
        [EncoderView(hash=OLD, dim=DIM)],
        [ReleaseService(name="release_shop", encoder_hash=OLD, log="shop")],
    )
    store.publish_sequences(sequences(), NOON_S - 10, watermark=41)
    store.publish_sequences(sequences(), NOON_S - 900, watermark=7, log="shop")
    assert store.read_online("release_old", "s:ü0").watermark == 41
    assert store.read_online("release_shop", "s:ü0").watermark == 7


def test_a_log_that_goes_back_to_its_end_is_not_hidden_by_days_that_are_undone(
    store, settings, sequences, write_vectors, random_vectors
):
    if settings.online_store != "sqlite":
        pytest.skip("only the local store goes back")
    for as_of_s, watermark, seed in ((NOON_S - 900, 0, 1), (NOON_S - 10, 41, 2)):
        store.publish_user_vectors(OLD, write_vectors(random_vectors(seed)), as_of_s)
        store.publish_sequences(sequences(), as_of_s, watermark)
    store.publish_user_vectors(NEW, write_vectors(random_vectors(3)), NOON_S - 10)
    store.go_back([OLD], "", NOON_S - 900)
    store.publish_user_vectors(OLD, write_vectors(random_vectors(1)), NOON_S - 900)
    report = store.publish_sequences(sequences(), NOON_S - 900, watermark=0)
    assert (report.written, report.read_back, report.kept_newer) == (3, 3, 0)
    found = store.read_online("release_old", "i:4", now_s=NOON_S - 500)
    assert found.vector.tobytes() == random_vectors(1)[4].tobytes()
    assert store.read_online("release_new", "i:4").vector is not None  # not of this log's run


def test_an_empty_sequence_is_a_sequence(store, sequences):
    store.publish_sequences(sequences(users=1, length=0), NOON_S - 10, watermark=5)
    features = store.read_online("release_old", "s:ü0")
    assert features.watermark == 5
    assert len(features.sequence) == 0


def test_publishing_nobody_is_allowed(store, sequences):
    report = store.publish_sequences(sequences(users=0), NOON_S - 10, watermark=5)
    assert (report.users, report.written, report.read_back) == (0, 0, 0)


def test_feasts_own_reader_gives_the_same_values(store, write_vectors, random_vectors, sequences):
    """Our rows are Feast rows: the SDK, by the feature service, reads what we read."""
    vectors = random_vectors(1)
    store.publish_user_vectors(OLD, write_vectors(vectors), TODAY_S)
    feast_store = store.connection.store()
    service = feast_store.get_feature_service("release_old")
    answer = feast_store.get_online_features(service, [{"user_id": "i:4"}]).to_dict()
    assert np.array(answer["vector"][0], np.float32).tobytes() == vectors[4].tobytes()
    assert answer["vector_as_of_s"] == [TODAY_S]
    frame = sequences()
    store.publish_sequences(frame, NOON_S - 10, watermark=7)
    answer = feast_store.get_online_features(service, [{"user_id": "s:ü1"}]).to_dict()
    assert answer["item_ids"][0] == frame["item_ids"][1].to_list()
    assert answer["times_s"][0] == frame["times_s"][1].to_list()
    assert answer["flags"][0] == frame["flags"][1].to_list()
    assert answer["watermark"] == [7]


def test_describing_a_user_gives_ages_and_versions(store, write_vectors, random_vectors):
    store.publish_user_vectors(OLD, write_vectors(random_vectors(1)), TODAY_S)
    described = store.describe_online("i:1", "release_old")
    assert described["vector"]["encoder_hash"] == OLD
    assert described["vector"]["age_s"] == NOON_S - TODAY_S
    assert len(described["vector"]["values"]) == 8
    assert described["sequence"]["actions"] == []


def test_an_unknown_feature_service_names_the_known_ones(store):
    with pytest.raises(FeatureStoreError, match="known: release_new, release_old"):
        store.read_online("release_other", "i:1")


def test_an_open_reader_sees_a_release_that_was_applied_later(store, tmp_path, settings, clock):
    reader = FeatureStore(tmp_path / "feast", settings=settings, clock=clock)
    reader.warm_up("release_old")
    third = "cccc3333" * 2
    store.apply(
        [EncoderView(hash=third, dim=8)],
        [ReleaseService(name="release_third", encoder_hash=third)],
    )
    assert reader.read_online("release_third", "i:1").vector is None
    assert reader.read_online("release_old", "i:1").vector is None  # still there


def test_another_encoder_with_the_same_short_hash_is_refused(store):
    with pytest.raises(FeatureStoreError, match="belongs to user encoder"):
        store.apply([EncoderView(hash=OLD[:8] + "ffffffff", dim=8)])


def test_a_service_without_its_encoder_is_refused(store):
    with pytest.raises(FeatureStoreError, match="not among the live encoders"):
        store.apply([], [ReleaseService(name="release_x", encoder_hash="f" * 16)])


def test_a_snapshot_of_another_encoder_is_refused(store, tmp_path, write_vectors, random_vectors):
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    write_vectors(random_vectors(1)).rename(snapshot / "users.parquet")
    write_json(snapshot / "snapshot.json", {"as_of_s": TODAY_S, "user_encoder_hash": NEW})
    with pytest.raises(ReleaseError, match=f"made with user encoder {NEW}"):
        store.publish_snapshot(snapshot, OLD)
    assert store.publish_snapshot(snapshot, NEW).written == 120


def test_a_backfilled_day_goes_into_the_past_only(store, write_vectors, random_vectors):
    path = write_vectors(random_vectors(1))
    report = store.publish_user_vectors(OLD, path, TODAY_S, created_s=TODAY_S, online=False)
    assert (report.new_part, report.written, report.kept_newer) == (True, 0, 0)
    assert store.read_online("release_old", "i:1").vector_as_of_s is None
    joined = store.point_in_time(["i:1"], np.array([TODAY_S * 1000 + 1]), OLD)
    assert joined.found.all()


def test_a_reader_without_a_store_is_told_what_to_run(tmp_path):
    with pytest.raises(FeatureStoreError, match="there is no feature store"):
        FeatureStore(tmp_path / "nothing").read_online("release_x", "i:1")


def test_a_sequence_counts_only_strictly_after_its_time(store, sequences):
    store.publish_sequences(sequences(), NOON_S - 10, watermark=41)
    at, after = (store.read_online("release_old", "s:ü0", NOON_S - 10 + s) for s in (0, 1))
    assert (at.sequence, at.watermark) == (None, 0)
    assert (len(after.sequence), after.watermark) == (4, 41)
