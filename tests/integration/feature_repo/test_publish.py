"""The pipelines' step *publish*, after encoders were retired."""

import re
from pathlib import Path
from typing import Any

import pytest

from feature_repo import client
from feature_repo.publish import feature_store, is_published, publish, publish_release
from homefeed.artifacts import read_json, write_json
from homefeed.config import Config, StorageConfig
from homefeed.errors import FeatureStoreError
from homefeed.release.ledger import Ledger
from homefeed.release.opened import Release
from homefeed.schema import LEDGER_FILE
from serving.synthetic import SyntheticWorkspace, write_workspace

pytestmark = pytest.mark.integration

AS_OF_S = 1_700_000_000


@pytest.fixture
def workspace(tmp_path) -> Path:
    """Two releases of one encoder, published."""
    sizes = SyntheticWorkspace(root=tmp_path / "workspace", num_users=20, as_of_s=AS_OF_S)
    write_workspace(sizes, releases=({"realtime": True}, {"realtime": False}))
    return sizes.root


@pytest.fixture
def config(workspace) -> Config:
    return Config(storage=StorageConfig(root=str(workspace)))


@pytest.fixture
def releases(workspace) -> list[Release]:
    ledger = Ledger(workspace / LEDGER_FILE)
    return [
        Release(version=version, manifest=ledger.manifest(version), workspace=workspace)
        for version in ledger.versions()
    ]


@pytest.fixture
def embedded(tmp_path, releases, sequences) -> Path:
    """What the embedding step of a daily run leaves."""
    folder = releases[0].newest_snapshot()
    meta = read_json(folder / "snapshot.json")
    listed = {
        **{"path": str(folder), "encoder_hash": releases[0].encoder_hash, "dim": meta["dim"]},
        **{"as_of_s": AS_OF_S, "created_s": AS_OF_S},
    }
    out = tmp_path / "embedded"
    out.mkdir()
    write_json(out / "snapshots.json", {"snapshots": [listed], "as_of_s": AS_OF_S, "watermark": 7})
    write_json(out / "lineage.json", {"log": releases[0].manifest.dataset})
    sequences(newest_s=AS_OF_S - 60).write_parquet(out / "sequences.parquet")
    return out


def test_what_the_serving_page_reads_from_python_is_what_the_champion_reads(
    workspace, releases, monkeypatch, capsys
):
    page = (Path(__file__).parents[3] / "docs" / "serving.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    assert "typed_id(10042)" in code
    workspace.rename(workspace.with_name(".homefeed"))
    monkeypatch.chdir(workspace.parent)
    found: dict[str, Any] = {}
    exec(code.replace("10042", "3"), found)
    features = found["features"]
    assert (features.user, features.vector_as_of_s) == ("i:3", AS_OF_S)
    assert features.feature_service == releases[0].feature_service
    assert len(features.sequence) > 0
    assert str(features.watermark) in capsys.readouterr().out


def test_the_next_daily_run_publishes_a_retired_encoder_with_all_its_services(
    config, releases, embedded, tmp_path
):
    def vectors() -> list[bytes]:
        store, at_s = feature_store(config), AS_OF_S + 60
        read = [store.read_online(each.feature_service, "i:3", at_s).vector for each in releases]
        return [vector.tobytes() for vector in read]

    before = vectors()
    feature_store(config).retire(lambda view: False)
    assert not is_published(releases[0].encoder_hash, config)
    publish(embedded, config, tmp_path / "published.json")
    assert is_published(releases[0].encoder_hash, config)
    assert vectors() == before


def test_a_publish_that_ended_half_way_is_not_published_and_the_next_one_mends_it(
    config, releases, monkeypatch
):
    def vector() -> bytes:
        store, at_s = feature_store(config), AS_OF_S + 60
        return store.read_online(releases[0].feature_service, "i:3", at_s).vector.tobytes()

    before = vector()
    feature_store(config).retire(lambda view: False)

    def unreachable(*_: Any) -> int:
        raise FeatureStoreError("the online store is away")

    with monkeypatch.context() as broken:
        broken.setattr(client, "write_online", unreachable)
        with pytest.raises(FeatureStoreError):
            publish_release(releases[0], config)
    assert not is_published(releases[0].encoder_hash, config)
    publish_release(releases[0], config)
    assert is_published(releases[0].encoder_hash, config)
    assert vector() == before


def test_a_release_comes_back_from_its_snapshot_with_the_sequences_of_its_log(config, releases):
    def read(release: Release) -> tuple[bytes, int]:
        features = feature_store(config).read_online(release.feature_service, "i:3", AS_OF_S + 60)
        return features.vector.tobytes(), len(features.sequence)

    before = read(releases[0])
    feature_store(config).retire(lambda view: False)
    assert publish_release(releases[1], config) == AS_OF_S
    assert [read(release) for release in releases] == [before, before]
