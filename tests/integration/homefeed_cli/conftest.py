"""A workspace of two encoders: vectors in a real feature store, versions in a real MLflow."""

import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from feature_repo.publish import feature_store, publish_release
from homefeed.config import Config, StorageConfig, local_tracking_uri
from homefeed.release.entries import Action
from homefeed.release.ledger import Ledger
from homefeed.release.opened import Release
from homefeed.release.registered_model import RegisteredModel
from homefeed.schema import LEDGER_FILE
from homefeed_cli.main import main
from serving.synthetic import SyntheticWorkspace, write_workspace

AS_OF_S = 1_700_000_000
NOW_S = AS_OF_S + 60


@pytest.fixture(scope="session")
def two_encoders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Release 1, the champion, and release 2 of another encoder that the gate refused."""
    root = tmp_path_factory.mktemp("retiring")
    ours, other = (
        SyntheticWorkspace(root=root / name, num_users=20, as_of_s=AS_OF_S, seed=seed)
        for seed, name in enumerate(("ours", "other"))
    )
    for each in (ours, other):
        write_workspace(each)
    manifest = Ledger(other.root / LEDGER_FILE).manifest(1)
    parts = {
        name: dataclasses.replace(part, uri=str(part.path(other.root)))
        for name, part in manifest.parts.items()
    }
    manifest = dataclasses.replace(manifest, **parts)
    ledger = Ledger(ours.root / LEDGER_FILE)
    ledger.add_release(2, manifest, at_s=AS_OF_S)
    ledger.append(Action.REFUSE, lambda _: 2, at_s=AS_OF_S, who="gate", reason="worse")
    shutil.copytree(other.root / "snapshots", ours.root / "snapshots", dirs_exist_ok=True)
    model = RegisteredModel(local_tracking_uri(ours.root))  # made once: its tables take seconds
    for version in (1, 2):
        assert model.register(ledger.manifest(version)) == version
    model.project(ledger.state())
    return ours.root


@pytest.fixture
def online(request: pytest.FixtureRequest) -> dict[str, str]:
    """Where the online store is: SQLite, or Redis for a test that asks for it."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return {}
    return {"online_store": "redis", "redis": request.getfixturevalue("empty_redis")}


@pytest.fixture
def place(
    two_encoders: Path, tmp_path: Path, capsys: Any, online: dict[str, str]
) -> SimpleNamespace:
    """A copy of that workspace in whose store both encoders are published, and its commands."""
    workspace = tmp_path / "workspace"
    shutil.copytree(two_encoders, workspace, ignore=shutil.ignore_patterns("feast"))
    config = Config(storage=StorageConfig(root=str(workspace), **online))
    ledger = Ledger(workspace / LEDGER_FILE)
    manifests = {version: ledger.manifest(version) for version in (1, 2)}
    for version, manifest in manifests.items():
        publish_release(Release(version=version, manifest=manifest, workspace=workspace), config)

    def homefeed(*words: str) -> SimpleNamespace:
        storage = {"root": workspace, **online}.items()
        code = main([*words, *(f"--set=storage.{name}={value}" for name, value in storage)])
        said = capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err)

    def read(version: int) -> list[Any]:
        users = [f"i:{user}" for user in range(1, 21)]
        store = feature_store(config)
        service = manifests[version].feature_service
        return [each.vector for each in store.read_online_many(service, users, NOW_S)]

    return SimpleNamespace(
        workspace=workspace,
        ledger=ledger,
        manifests=manifests,
        homefeed=homefeed,
        read=read,
        store=feature_store(config),
        aliases=RegisteredModel(local_tracking_uri(workspace)).aliases,
    )
