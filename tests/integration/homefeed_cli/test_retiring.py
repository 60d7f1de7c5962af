"""``homefeed features retire`` over a real store, and the way back of what was retired."""

import json
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from filelock import FileLock

from feature_repo.client import FeatureStore
from feature_repo.definitions import view_name
from homefeed.abtest.definition import parse_definition, write_definition
from homefeed.abtest.running import start_test, stop_test
from homefeed.clock import DAY_S, SimulatedClock
from homefeed.errors import FeatureStoreError
from homefeed.release.entries import Action
from homefeed.release.manifest import ReleaseManifest
from homefeed.schema import LEDGER_FILE
from homefeed_cli import retiring
from serving.features import OnlineReader

pytestmark = pytest.mark.integration

AS_OF_S = 1_700_000_000
NOW_S = AS_OF_S + 60


def _view(manifest: ReleaseManifest) -> str:
    return view_name(manifest.user_encoder.hash)


def _retire(place: SimpleNamespace, *words: str) -> dict[str, Any]:
    said = place.homefeed("features", "retire", "--json", *words)
    assert said.code == 0, said.err
    return json.loads(said.out)


def _bytes(vectors: list[Any]) -> bytes:
    return b"".join(vector.tobytes() for vector in vectors)


def test_what_nobody_serves_goes_and_the_champion_is_read_bit_for_bit(place):
    before = _bytes(place.read(1))
    told = _retire(place)
    (gone,), (kept,) = told["removed"], told["kept"]
    assert (gone["view"], gone["rows"]) == (_view(place.manifests[2]), 20)
    assert gone["services"] == [place.manifests[2].feature_service]
    assert (kept["view"], kept["why"]) == (_view(place.manifests[1]), "release 1, champion")
    assert _bytes(place.read(1)) == before
    with pytest.raises(FeatureStoreError, match="a release that was retired is published again by"):
        place.read(2)
    with closing(sqlite3.connect(place.workspace / "feast" / "online.db")) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    assert not any(gone["view"] in table for table in tables)
    again = _retire(place)
    assert (again["removed"], again["kept"]) == ([], told["kept"])


def test_a_dry_run_says_the_same_and_removes_nothing(place):
    told = _retire(place, "--dry-run")
    assert told["dry_run"]
    assert len(place.read(2)) == 20
    said = place.homefeed("features", "retire", "--dry-run")
    assert said.out.startswith("would remove:\n")
    assert f"{_view(place.manifests[2])}  20    {place.manifests[2].feature_service}" in said.out
    assert "release 1, champion" in said.out
    assert _retire(place)["removed"] == told["removed"]
    assert "nothing to remove" in place.homefeed("features", "retire").out


def test_the_arm_of_a_running_test_is_kept_until_the_test_ends(place):
    start_test(place.workspace, _definition(), at_s=NOW_S)
    told = _retire(place)
    assert told["removed"] == []
    assert "release 2, arm other of test t" in {each["why"] for each in told["kept"]}
    stop_test(place.workspace, "t", at_s=NOW_S, reason="over")
    assert len(_retire(place)["removed"]) == 1


def _definition():
    arms = {"control": {"release": 1}, "other": {"release": 2}}
    return parse_definition({"name": "t", "arms": arms, "primary": {"name": "requests"}})


def _break_the_champion(workspace: Path) -> None:
    (workspace / "rankers" / "ranker-0" / "ranker.json").unlink()


def _break_a_running_test(workspace: Path) -> None:
    start_test(workspace, _definition(), at_s=NOW_S)
    (workspace / "abtests" / "t.yaml").write_text("arms: [")


def _damage_the_ledger(workspace: Path) -> None:
    for path in workspace.glob(f"{LEDGER_FILE}*"):
        path.unlink()
    (workspace / LEDGER_FILE).write_bytes(b"no database" * 1000)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_break_the_champion, "rankers/ranker-0"),
        (_break_a_running_test, "nobody knows which releases a broken test serves: test 't'"),
        (_damage_the_ledger, "cannot be read"),
    ],
)
def test_in_doubt_it_refuses_and_removes_nothing(place, damage: Callable[[Path], None], said: str):
    damage(place.workspace)
    answer = place.homefeed("features", "retire")
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert len(place.read(2)) == 20


def test_beside_a_run_of_this_machine_it_refuses(place):
    with FileLock(place.workspace / "writer.lock"):
        answer = place.homefeed("features", "retire")
        assert (answer.code, "another pipeline run is writing to" in answer.err) == (2, True)
        assert len(_retire(place, "--dry-run")["removed"]) == 1
    assert len(_retire(place)["removed"]) == 1


def test_an_encoder_about_which_nothing_was_decided_is_kept_for_a_day(place, monkeypatch):
    """A run on a cluster may have published it a moment ago and decides later."""
    for path in place.workspace.glob(f"{LEDGER_FILE}*"):
        path.unlink()
    for version, manifest in place.manifests.items():
        place.ledger.add_release(version, manifest, at_s=AS_OF_S)
    place.ledger.append(Action.PROMOTE, lambda _: 1, at_s=AS_OF_S, who="t", reason="the first")
    told = _retire(place)
    assert told["removed"] == []
    assert any("a run may be under way" in each["why"] for each in told["kept"])
    tomorrow = SimulatedClock(time.time() + DAY_S)
    monkeypatch.setattr(retiring, "WallClock", lambda: tomorrow)
    assert [each["view"] for each in _retire(place)["removed"]] == [_view(place.manifests[2])]


def test_a_promotion_brings_back_what_was_retired(place):
    before = _bytes(place.read(2))
    _retire(place)
    reader = OnlineReader(place.workspace / "feast")
    reader.warm_up(place.manifests[1].feature_service)
    with pytest.raises(FeatureStoreError, match="no feature service"):  # what a server would meet
        reader.warm_up(place.manifests[2].feature_service)
    said = place.homefeed("promote", "2", "--reason", "wanted after all", "--anyway")
    assert said.code == 0, said.err
    assert said.err.count("the features of release 2 were retired; published again as of") == 1
    assert "2023-11-14" in said.err
    assert place.ledger.state().champion == 2
    assert place.aliases() == {"champion": 2, "previous": 1}
    assert _bytes(place.read(2)) == before
    reader.warm_up(place.manifests[2].feature_service)  # a running server needs no restart


def test_a_rollback_brings_back_what_was_retired(place):
    for version in (2, 1, 2, 1):
        place.ledger.append(
            Action.PROMOTE, lambda _, v=version: v, at_s=NOW_S, who="t", reason="to and fro"
        )
    before = _bytes(place.read(2))
    FeatureStore(place.workspace / "feast").retire(
        lambda view: view.encoder_hash == place.manifests[1].user_encoder.hash
    )
    said = place.homefeed("rollback", "--reason", "it was better")
    assert said.code == 0, said.err
    assert "the features of release 2 were retired; published again" in said.err
    assert place.aliases()["champion"] == 2
    assert _bytes(place.read(2)) == before


def test_without_a_snapshot_a_promotion_is_refused_and_a_rollback_is_not(place):
    _retire(place)
    shutil.rmtree(place.workspace / "snapshots" / place.manifests[2].user_encoder.hash[:8])
    refused = place.homefeed("promote", "2", "--reason", "wanted", "--anyway")
    assert (refused.code, "has no snapshot below" in refused.err) == (2, True)
    assert place.ledger.state().champion == 1
    for version in (2, 1):
        place.ledger.append(
            Action.PROMOTE, lambda _, v=version: v, at_s=NOW_S, who="t", reason="to and fro"
        )
    said = place.homefeed("rollback", "--reason", "a bad night")
    assert said.code == 0, said.err
    assert said.err.count("warning: release 2 has no features in the store") == 1
    assert place.ledger.state().champion == place.aliases()["champion"] == 2


def test_a_test_that_is_started_brings_back_its_arms(place, tmp_path):
    _retire(place)
    write_definition(tmp_path / "t.yaml", _definition())
    said = place.homefeed("ab", "start", str(tmp_path / "t.yaml"), "--no-wait")
    assert said.code == 0, said.err
    assert len(place.read(2)) == 20


@pytest.mark.parametrize("online", ["redis"], indirect=True)
def test_on_redis_too_every_way_to_serve_it_again_brings_back_what_was_retired(place, tmp_path):
    assert not (place.workspace / "feast" / "online.db").exists()
    before = {version: _bytes(place.read(version)) for version in (1, 2)}
    write_definition(tmp_path / "t.yaml", _definition())
    again = (
        (2, ("ab", "start", str(tmp_path / "t.yaml"), "--no-wait")),
        (2, ("promote", "2", "--reason", "wanted after all", "--anyway")),
        (1, ("rollback", "--reason", "it was better")),
    )
    for version, words in again:
        if words[0] == "rollback":  # what it would go back to, the command keeps
            view = _view(place.manifests[version])
            place.store.retire(lambda each, view=view: each.name != view)
        else:
            assert len(_retire(place)["removed"]) == 1
        with pytest.raises(FeatureStoreError, match="a release that was retired"):
            place.read(version)
        said = place.homefeed(*words)
        assert said.code == 0, said.err
        assert f"the features of release {version} were retired; published again" in said.err
        assert {each: _bytes(place.read(each)) for each in (1, 2)} == before
        if words[0] == "ab":
            stop_test(place.workspace, "t", at_s=NOW_S, reason="over")


def test_what_became_live_while_it_was_removed_is_published_again(place, monkeypatch):
    retire = FeatureStore.retire

    def and_promote(store: FeatureStore, is_kept: Any) -> list[Any]:
        gone = retire(store, is_kept)
        place.ledger.append(Action.PROMOTE, lambda _: 2, at_s=NOW_S, who="t", reason="in between")
        return gone

    before = _bytes(place.read(2))
    monkeypatch.setattr(FeatureStore, "retire", and_promote)
    assert _retire(place)["published_again"] == [2]
    assert _bytes(place.read(2)) == before
