"""What nobody serves leaves the store for good; what is served stays bit for bit."""

import shutil
import sqlite3
import threading
from contextlib import closing

import pytest

from feature_repo.client import FeatureStore
from feature_repo.definitions import EncoderView, ReleaseService, view_name
from feature_repo.settings import StoreSettings
from homefeed.clock import DAY_S
from homefeed.errors import BusyError, FeatureStoreError

pytestmark = pytest.mark.integration

NOON_S = 20_000 * DAY_S + DAY_S // 2
TODAY_S = 20_000 * DAY_S
OLD, NEW = "aaaa1111" * 2, "bbbb2222" * 2
OLD_VIEW, NEW_VIEW = view_name(OLD), view_name(NEW)
USERS = [f"i:{user}" for user in range(120)]


def is_new(view) -> bool:
    return view.encoder_hash == NEW


@pytest.fixture
def full(store, write_vectors, random_vectors, sequences):
    """The store with both encoders' vectors of 120 users, and sequences of three others."""
    for seed, encoder in enumerate((OLD, NEW)):
        store.publish_user_vectors(encoder, write_vectors(random_vectors(seed)), TODAY_S)
    store.publish_sequences(sequences(), NOON_S - 10, watermark=41)
    return store


def online_tables(store) -> set[str]:
    with closing(sqlite3.connect(store.connection.root / "online.db")) as database:
        names = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    return {name for name in names if name.startswith("homefeed_user_")}


def fields_in_redis(store) -> dict[bytes, set[bytes]]:
    """Every key of the online store with its fields."""
    import redis

    host, port = store.connection.settings.redis.split(":")
    client = redis.Redis(host, int(port))
    return {key: set(client.hkeys(key)) for key in client.keys("*")}


def test_a_retired_encoder_is_gone_and_the_others_stay_bit_for_bit(full, random_vectors):
    (gone,) = full.retire(is_new)
    assert (gone.name, gone.services, gone.rows) == (OLD_VIEW, ("release_old",), 120)
    with pytest.raises(FeatureStoreError, match="no feature service release_old"):
        full.read_online("release_old", "i:1")
    assert not (full.connection.offline / OLD_VIEW).exists()
    assert [view.name for view in full.vector_views()] == [NEW_VIEW]
    read = full.read_online_many("release_new", USERS)
    assert b"".join(each.vector.tobytes() for each in read) == random_vectors(1).tobytes()
    assert full.read_online("release_new", "s:ü2").watermark == 41


def test_the_online_rows_are_gone_from_the_store_itself(full, settings):
    if settings.online_store == "sqlite":
        before = online_tables(full)
        full.retire(is_new)
        assert (
            {name for name in before if OLD_VIEW in name} == before - online_tables(full) != set()
        )
        return
    before = fields_in_redis(full)
    full.retire(is_new)
    after = fields_in_redis(full)
    assert after.keys() == before.keys()  # the same users: each has the other encoder's vector
    vector_keys = [key for key in before if f"_ts:{OLD_VIEW}".encode() in before[key]]
    assert len(vector_keys) == 120
    assert {len(before[key] - after[key]) for key in vector_keys} == {3}  # values and time
    full.retire(lambda view: False)
    left = fields_in_redis(full)
    assert len(left) == 3  # a user without any row has no key; the sequences stay
    assert not any(b"embedding" in field for fields in left.values() for field in fields)


def test_nothing_of_a_retired_encoder_is_declared_any_more(full):
    full.retire(is_new)
    feast_store = full.connection.store()
    assert [each.name for each in feast_store.list_feature_services()] == ["release_new"]
    assert f"{OLD_VIEW}_source" not in {each.name for each in feast_store.list_data_sources()}


def test_retiring_twice_changes_nothing_the_second_time(full):
    assert full.retire(is_new)
    registry = full.connection.root / "registry.db"
    before = registry.read_bytes()
    assert full.retire(is_new) == []
    assert registry.read_bytes() == before


def test_a_retirement_that_was_cut_off_is_finished_by_the_next(full, settings, monkeypatch):
    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("feature_repo.retiring._undeclare", cut_off)
    with pytest.raises(KeyboardInterrupt):
        full.retire(is_new)
    monkeypatch.undo()
    if settings.online_store == "sqlite":  # Feast drops the table before it forgets the view
        with closing(sqlite3.connect(full.connection.root / "online.db")) as database:
            database.execute(f'DROP TABLE "homefeed_{OLD_VIEW}"')
    assert [view.name for view in full.retire(is_new)] == [OLD_VIEW]
    assert [view.name for view in full.vector_views()] == [NEW_VIEW]


def test_a_retired_encoder_can_be_published_again(full, write_vectors, random_vectors):
    full.retire(is_new)
    service = ReleaseService(name="release_old", encoder_hash=OLD)
    full.apply([EncoderView(hash=OLD, dim=8)], [service])
    report = full.publish_user_vectors(OLD, write_vectors(random_vectors(0)), TODAY_S)
    assert (report.written, report.kept_newer, report.new_part) == (120, 0, True)
    read = full.read_online_many("release_old", USERS)
    assert b"".join(each.vector.tobytes() for each in read) == random_vectors(0).tobytes()


def test_an_open_reader_goes_on_with_what_stays(full, tmp_path, settings, clock, random_vectors):
    reader = FeatureStore(tmp_path / "feast", settings=settings, clock=clock)
    for service in ("release_old", "release_new"):
        reader.warm_up(service)
    full.retire(is_new)
    assert (
        reader.read_online("release_new", "i:3").vector.tobytes() == random_vectors(1)[3].tobytes()
    )


def test_what_is_declared_is_described_with_its_rows_where_they_are_cheap_to_count(full, settings):
    old, new = full.vector_views()
    assert [old.name, new.name] == [OLD_VIEW, NEW_VIEW]
    assert old.rows == (120 if settings.online_store == "sqlite" else None)
    assert (old.encoder_hash, old.services, old.is_ours) == (OLD, ("release_old",), True)


def test_while_something_is_published_nothing_is_retired(full, tmp_path, settings):
    impatient = StoreSettings(
        online_store=settings.online_store, redis=settings.redis, lock_timeout_s=0.1
    )
    other = FeatureStore(tmp_path / "feast", settings=impatient)
    with full.connection.lock("publish"), pytest.raises(BusyError, match="wait for it"):
        other.retire(is_new)
    assert [view.name for view in full.vector_views()] == [OLD_VIEW, NEW_VIEW]


def test_a_publish_that_waited_for_its_retirement_is_refused_and_leaves_nothing(
    full, tmp_path, settings, clock, write_vectors, random_vectors
):
    writer = FeatureStore(tmp_path / "feast", settings=settings, clock=clock)
    writer.connection.encoder_view(OLD)  # looked up while it was declared
    told: list[Exception] = []

    def publish() -> None:
        try:
            writer.publish_user_vectors(OLD, write_vectors(random_vectors(5)), TODAY_S + 60)
        except FeatureStoreError as error:
            told.append(error)

    waiting = threading.Thread(target=publish)

    def while_it_waits(view) -> bool:
        if not waiting.is_alive() and not told:
            waiting.start()
        return is_new(view)

    full.retire(while_it_waits)
    waiting.join(60)
    assert f"there is no feature view {OLD_VIEW}" in str(told[0])
    assert not (full.connection.offline / OLD_VIEW).exists()


def test_what_another_workspace_declared_in_the_same_registry_stays(
    tmp_path, write_vectors, random_vectors, clock
):
    shared = StoreSettings(registry=f"sqlite:///{tmp_path}/shared.db")
    theirs = FeatureStore(tmp_path / "theirs", settings=shared, clock=clock)
    theirs.apply([EncoderView(hash=OLD, dim=8)])
    theirs.publish_user_vectors(OLD, write_vectors(random_vectors(0)), TODAY_S)
    ours = FeatureStore(tmp_path / "ours", settings=shared, clock=clock)
    ours.apply([EncoderView(hash=NEW, dim=8)])
    assert [view.name for view in ours.retire(lambda view: False)] == [NEW_VIEW]
    (left,) = ours.vector_views()
    assert (left.name, left.is_ours) == (OLD_VIEW, False)
    assert list((theirs.connection.offline / OLD_VIEW).glob("*.parquet"))


def test_a_store_whose_offline_rows_are_gone_already_is_retired_all_the_same(full):
    shutil.rmtree(full.connection.offline / OLD_VIEW)
    assert [view.name for view in full.retire(is_new)] == [OLD_VIEW]
