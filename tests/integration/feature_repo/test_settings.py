"""The two profiles' Feast configurations, and a registry in a database."""

from pathlib import Path

import pytest
import yaml

from feature_repo.client import FeatureStore
from feature_repo.definitions import EncoderView, ReleaseService, view_name
from feature_repo.settings import StoreSettings, feast_configuration
from homefeed.clock import SimulatedClock

pytestmark = pytest.mark.integration

DAY_S = 86_400
TODAY_S = 20_000 * DAY_S
ENCODER = "aaaa1111" * 2


def test_the_local_profile_needs_nothing_but_files(tmp_path):
    values = feast_configuration(tmp_path, StoreSettings())
    assert values["online_store"] == {"type": "sqlite", "path": str(tmp_path / "online.db")}
    assert values["offline_store"] == {"type": "duckdb"}
    assert values["registry"]["path"] == str(tmp_path / "registry.db")
    assert values["registry"]["serve_features_while_materializing"] is True


def test_a_path_may_look_like_yaml(tmp_path):
    root = tmp_path / "shop: new #2"
    values = feast_configuration(root, StoreSettings())
    assert values["online_store"]["path"] == str(root / "online.db")
    assert values["registry"]["path"] == str(root / "registry.db")


def test_the_cluster_profile_has_redis_and_a_registry_in_postgres(tmp_path):
    url = "postgresql+psycopg://homefeed@db/feast"
    settings = StoreSettings(online_store="redis", redis="redis:6379", registry=url)
    values = feast_configuration(tmp_path, settings)
    assert values["online_store"]["connection_string"].startswith("redis:6379,")
    assert values["online_store"]["skip_dedup"] is True
    assert values["registry"]["registry_type"] == "sql"
    assert values["registry"]["path"] == url


def test_the_written_configuration_is_the_one_in_use(tmp_path):
    store = FeatureStore(tmp_path / "feast")
    store.apply([EncoderView(hash=ENCODER, dim=8)])
    written = yaml.safe_load((tmp_path / "feast" / "feature_store.yaml").read_text())
    assert written == feast_configuration(tmp_path / "feast", StoreSettings())


def test_an_unknown_online_store_is_refused():
    with pytest.raises(ValueError, match="sqlite or redis, found 'dynamo'"):
        StoreSettings(online_store="dynamo")


def test_a_registry_in_a_database_works_as_the_file_does(
    tmp_path: Path, write_vectors, random_vectors
):
    """SQLite stands in for PostgreSQL: the same SQLAlchemy registry."""
    settings = StoreSettings(registry=f"sqlite:///{tmp_path}/registry-in-sql.db")
    store = FeatureStore(tmp_path / "feast", settings=settings, clock=SimulatedClock(TODAY_S + 60))
    service = ReleaseService(name="release_1", encoder_hash=ENCODER)
    store.apply([EncoderView(hash=ENCODER, dim=8)], [service])
    store.apply([EncoderView(hash=ENCODER, dim=8)], [service])  # again is no change
    vectors = random_vectors(1)
    store.publish_user_vectors(ENCODER, write_vectors(vectors), TODAY_S)
    reader = FeatureStore(tmp_path / "feast", settings=settings, clock=store.clock)
    assert reader.read_online("release_1", "i:3").vector.tobytes() == vectors[3].tobytes()
    (gone,) = reader.retire(is_kept=lambda view: False)
    assert (gone.name, gone.services, gone.rows) == (view_name(ENCODER), ("release_1",), 120)
    assert reader.vector_views() == []
