"""Which releases and encoders are live: leniently for `daily`, strictly for who deletes."""

import dataclasses
import shutil

import pytest

from homefeed.abtest.definition import parse_definition
from homefeed.abtest.running import start_test
from homefeed.config import Config, StorageConfig
from homefeed.errors import ArtifactError, PipelineError, ReleaseError
from homefeed.release import Action
from homefeed.steps.live import judged_encoders, live_encoders, served_encoders


@pytest.fixture
def live_of(workspace):
    """The live encoders of a log, by the folder that holds each."""

    def of(log: str) -> list[str]:
        config = Config(storage=StorageConfig(root=str(workspace)))
        return [folder.name for folder in live_encoders(config, log).values()]

    return of


def test_a_broken_challenger_is_told_and_the_champion_is_refreshed(
    live_of, workspace, registry, make_manifest, capsys
):
    registry.promote(registry.register(make_manifest("first")), reason="the first")
    registry.set_challenger(registry.register(make_manifest("second")), "to be tested")
    (workspace / "rankers" / "second" / "ranker.json").unlink()
    assert live_of("shop") == ["x"]
    (told,) = capsys.readouterr().out.splitlines()
    assert told.startswith("= keeps its snapshots: release 2: ")
    assert "rankers/second" in told


def test_a_broken_predecessor_is_told_and_the_champion_is_refreshed(
    live_of, workspace, registry, make_manifest, capsys
):
    for name in ("first", "second"):
        registry.promote(registry.register(make_manifest(name)), reason="better")
    (workspace / "rankers" / "first" / "ranker.json").unlink()
    assert live_of("shop") == ["x"]
    assert "= keeps its snapshots: release 1: " in capsys.readouterr().out


def test_a_broken_release_of_another_log_is_none_of_this_logs_business(
    live_of, workspace, registry, make_manifest, capsys
):
    registry.promote(registry.register(make_manifest("first")), reason="the first")
    other = registry.register(make_manifest("second", dataset="films"))
    registry.set_challenger(other, "to be tested")
    (workspace / "rankers" / "second" / "ranker.json").unlink()
    assert live_of("shop") == ["x"]
    assert capsys.readouterr().out == ""


def test_a_broken_champion_is_an_error(live_of, workspace, registry, make_manifest):
    for name in ("first", "second"):
        registry.promote(registry.register(make_manifest(name)), reason="better")
    (workspace / "rankers" / "second" / "ranker.json").unlink()
    with pytest.raises(ArtifactError, match="rankers/second"):
        live_of("shop")


@pytest.fixture
def config(workspace):
    return Config(storage=StorageConfig(root=str(workspace)))


@pytest.fixture
def release_of(registry, make_manifest):
    """``release_of(name, encoder, log)``: a recorded release whose encoder has that hash."""

    def make(name: str, encoder: str, log: str = "shop") -> int:
        manifest = make_manifest(name, dataset=log)
        part = dataclasses.replace(manifest.user_encoder, hash=encoder)
        manifest = dataclasses.replace(manifest, user_encoder=part)
        version = len(registry.ledger.versions()) + 1
        registry.ledger.add_release(version, manifest, at_s=0.0)
        return version

    return make


def _move(registry, action: Action, version: int) -> None:
    registry.ledger.append(action, lambda _: version, at_s=0.0, who="t", reason="a test")


def test_every_encoder_that_is_served_is_kept_with_its_reason(
    config, registry, release_of, make_manifest, workspace
):
    champion = registry.register(make_manifest("first"))
    _move(registry, Action.PROMOTE, release_of("second", "2" * 16))
    _move(registry, Action.PROMOTE, release_of("third", "3" * 16, log="films"))
    _move(registry, Action.PROMOTE, champion)
    _move(registry, Action.CHALLENGE, release_of("fourth", "4" * 16))
    arm = release_of("fifth", "5" * 16, log="films")
    start_test(workspace, _definition(champion, arm), at_s=0.0)
    assert served_encoders(config) == {
        "b" * 16: ["release 1, champion and arm control of test t"],
        "3" * 16: ["release 3, previous"],
        "4" * 16: ["release 4, challenger"],
        "5" * 16: ["release 5, arm other of test t"],
    }


def _definition(control: int, other: int):
    arms = {"control": {"release": control}, "other": {"release": other}}
    return parse_definition({"name": "t", "arms": arms, "primary": {"name": "requests"}})


def test_the_encoder_of_a_broken_predecessor_is_kept(config, workspace, registry, make_manifest):
    for name in ("first", "second"):
        registry.promote(registry.register(make_manifest(name)), reason="better")
    shutil.rmtree(workspace / "rankers" / "first")
    assert served_encoders(config) == {"b" * 16: ["release 1, previous", "release 2, champion"]}


def test_in_doubt_nobody_is_told_what_may_go(config, workspace, registry, make_manifest):
    with pytest.raises(PipelineError, match="no release is live"):
        served_encoders(config)
    for name in ("first", "second"):
        registry.promote(registry.register(make_manifest(name)), reason="better")
    start_test(workspace, _definition(1, 2), at_s=0.0)
    path = workspace / "abtests" / "t.yaml"
    before = path.read_text()
    path.write_text(before.replace("release: 2", "release: 1"))
    with pytest.raises(ArtifactError, match=r"broken test serves.*t\.yaml was changed"):
        served_encoders(config)
    path.write_text(before)
    (workspace / "rankers" / "second" / "ranker.json").unlink()
    with pytest.raises(ArtifactError, match="rankers/second"):
        served_encoders(config)


def test_an_arm_that_the_ledger_does_not_know_leaves_a_doubt(
    config, workspace, registry, make_manifest
):
    registry.promote(registry.register(make_manifest()), reason="the first")
    start_test(workspace, _definition(1, 7), at_s=0.0)
    with pytest.raises(ReleaseError, match="no release version 7"):
        served_encoders(config)


def test_an_encoder_is_judged_once_the_ledger_says_something_of_its_release(
    config, registry, release_of
):
    _move(registry, Action.PROMOTE, release_of("first", "1" * 16))
    _move(registry, Action.REFUSE, release_of("second", "2" * 16))
    release_of("third", "3" * 16)
    assert judged_encoders(config) == {"1" * 16, "2" * 16}
