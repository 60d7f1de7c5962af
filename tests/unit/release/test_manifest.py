"""The manifest's hash, and the snapshots that a release may serve with."""

import dataclasses
import json

import pytest

from homefeed.artifacts import write_json
from homefeed.clock import DAY_S
from homefeed.errors import ArtifactError, ReleaseError
from homefeed.release import ReleaseManifest, newest_snapshot
from homefeed.release.manifest import Part


def test_the_hash_follows_from_the_content_and_not_from_places_or_versions(make_manifest):
    manifest = make_manifest()
    moved = dataclasses.replace(manifest.ranker, uri="/elsewhere", version=99)
    assert dataclasses.replace(manifest, ranker=moved).release_hash == manifest.release_hash


@pytest.mark.parametrize(
    "change",
    [
        {"realtime": False},
        {"heads": ("click",)},
        {"preprocessing_hash": "0" * 16},
        {"users_hash": "0" * 16},
        {"items_hash": "0" * 16},
        {"dataset": "other"},
        {"dataset_fingerprint": "0" * 16},
        {"code_version": "2"},
    ],
)
def test_every_field_counts(make_manifest, change):
    assert make_manifest(**change).release_hash != make_manifest().release_hash


def test_every_part_counts(make_manifest):
    manifest = make_manifest()
    for role, part in manifest.parts.items():
        for field in ("hash", "fingerprint", "name"):
            other = dataclasses.replace(part, **{field: "0" * 16})
            changed = dataclasses.replace(manifest, **{role: other})
            assert changed.release_hash != manifest.release_hash


def test_a_manifest_comes_back_from_json_as_it_was(make_manifest):
    manifest = make_manifest()
    assert ReleaseManifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest


def test_a_manifest_that_was_edited_is_refused(make_manifest):
    values = json.loads(json.dumps(make_manifest().to_json()))
    values["realtime"] = False
    with pytest.raises(ReleaseError, match="was changed"):
        ReleaseManifest.from_json(values)


@pytest.mark.parametrize("damage", [{"schema": 0}, {"heads": None}, {"ranker": {"name": "x"}}])
def test_a_manifest_that_is_not_whole_is_refused(make_manifest, damage):
    values = json.loads(json.dumps(make_manifest().to_json())) | damage
    with pytest.raises(ReleaseError, match="release manifest"):
        ReleaseManifest.from_json(values)


def test_a_description_bound_to_another_encoder_is_found(make_manifest, workspace):
    manifest = make_manifest()
    folder = manifest.ranker.path(workspace)
    described = {"hash": manifest.ranker.hash, "bound_to": {"user_encoder_hash": "f" * 16}}
    write_json(folder / "ranker.json", described)
    ranker = Part.of(
        folder, name="ranker", version=1, hash=manifest.ranker.hash, workspace=workspace
    )
    with pytest.raises(ReleaseError, match="made with user_encoder_hash ffff"):
        dataclasses.replace(manifest, ranker=ranker).verify(workspace)


def _snapshot(workspace, day: str, as_of_s: int, encoder: str) -> None:
    folder = workspace / "snapshots" / encoder[:8] / day
    folder.mkdir(parents=True)
    write_json(folder / "snapshot.json", {"as_of_s": as_of_s, "user_encoder_hash": encoder})


def test_the_newest_snapshot_of_its_own_encoder_is_served(workspace):
    encoder, other = "b" * 16, "c" * 16
    for day, as_of_s in (("2025-01-02", 200), ("2025-01-01", 100), ("2025-01-03", 300)):
        _snapshot(workspace, day, as_of_s, encoder)
    _snapshot(workspace, "2025-01-09", 900, other)
    assert newest_snapshot(workspace, encoder).name == "2025-01-03"
    assert newest_snapshot(workspace, encoder, before_s=300).name == "2025-01-02"


def test_a_snapshot_bound_to_another_encoder_is_refused(workspace):
    encoder = "b" * 16
    impostor = encoder[:8] + "c" * 8  # the same folder, another encoder
    _snapshot(workspace, "2025-01-01", 100, impostor)
    with pytest.raises(ReleaseError, match=f"made with user encoder {impostor}"):
        newest_snapshot(workspace, encoder)


@pytest.mark.parametrize("text", ["", '{"as_of_s": 1', "[]", "{}", '{"as_of_s": "soon"}'])
def test_a_damaged_snapshot_matters_only_where_it_would_be_the_answer(workspace, text):
    encoder = "b" * 16
    for day in (1, 2, 3):
        _snapshot(workspace, f"1970-01-0{day}", day * DAY_S, encoder)
    files = sorted((workspace / "snapshots" / encoder[:8]).glob("*/snapshot.json"))
    files[0].write_text(text)
    assert newest_snapshot(workspace, encoder).name == "1970-01-03"
    assert newest_snapshot(workspace, encoder, before_s=3 * DAY_S).name == "1970-01-02"
    files[2].write_text(text)
    for before_s in (None, 3 * DAY_S + 1):
        with pytest.raises(ArtifactError) as refused:
            newest_snapshot(workspace, encoder, before_s=before_s)
        assert str(refused.value).startswith(f"{files[2]} cannot be read (")
        assert f"remove {files[2].parent} and run" in str(refused.value)
    assert newest_snapshot(workspace, encoder, before_s=2 * DAY_S + 1).name == "1970-01-02"


def test_an_encoder_without_a_snapshot_says_what_to_run(workspace):
    _snapshot(workspace, "2025-01-01", 100, "b" * 16)
    with pytest.raises(ReleaseError, match="pipeline run daily"):
        newest_snapshot(workspace, "b" * 16, before_s=100)
