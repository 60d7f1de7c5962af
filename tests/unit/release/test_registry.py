"""The registry's verbs against real MLflow and a real ledger."""

import subprocess
import sys

import pytest

from homefeed.errors import (
    ArtifactError,
    LedgerConflict,
    PromotionRefused,
    ReleaseError,
)
from homefeed.release import Action, GateDecision, Part, ReleaseRegistry


def test_registering_the_same_content_twice_gives_one_version(registry, make_manifest):
    assert registry.register(make_manifest("first")) == 1
    assert registry.register(make_manifest("second")) == 2
    assert registry.register(make_manifest("first")) == 1
    assert registry.ledger.versions() == [1, 2]


def test_a_crash_between_registry_and_ledger_does_not_make_a_second_version(
    registry, make_manifest
):
    manifest = make_manifest()
    version = registry.model.register(manifest)  # and here the process died
    assert registry.register(manifest) == version
    assert registry.ledger.versions() == [version]


def test_an_opened_release_gives_the_paths_of_its_parts(three, workspace, make_manifest):
    release = three.open(2)
    assert release.manifest == make_manifest("second")
    assert release.ranker_path == workspace / "rankers" / "second"
    assert release.user_encoder_path == workspace / "user_encoders" / "x"
    assert release.feature_service == f"release_{release.release_hash[:8]}"


def test_a_changed_part_is_refused_when_opened_and_when_promoted(three, workspace):
    (workspace / "rankers" / "second" / "weights.pt").write_bytes(b"other weights")
    with pytest.raises(ArtifactError, match="was changed"):
        three.open(2)
    with pytest.raises(ArtifactError, match="was changed"):
        three.promote(2, "looks good")
    assert three.champion() is None
    assert three.open(1).version == 1


def test_a_missing_part_is_refused_at_registration(registry, make_manifest, workspace):
    manifest = make_manifest()
    (workspace / "rankers" / "first" / "weights.pt").unlink()
    with pytest.raises(ArtifactError, match="was changed"):
        registry.register(manifest)
    assert registry.ledger.versions() == []


def test_a_ranker_made_with_another_encoder_is_refused(registry, make_manifest, workspace):
    manifest = make_manifest()
    other = Part.of(
        manifest.user_encoder.path(workspace), name="user_encoder", version=2,
        hash="c" * 16, workspace=workspace,
    )  # fmt: skip
    with pytest.raises(ReleaseError, match="do not agree"):
        registry.register(make_manifest(user_encoder=other))


def test_an_unknown_version_names_the_known_ones(three):
    with pytest.raises(ReleaseError, match=r"no release version 9; known: 1, 2, 3"):
        three.promote(9, "typo")


def test_promotion_moves_the_aliases_and_records_who_when_and_why(three, clock):
    three.promote(1, "first model")
    clock.time_s = 2_000.0
    three.run = "run-7"
    entry = three.promote(2, "better", verdict={"lift": 0.1})
    assert (entry.who, entry.at_s, entry.reason, entry.run) == (
        "tester",
        2_000.0,
        "better",
        "run-7",
    )
    assert (entry.from_version, entry.to_version, entry.verdict) == (1, 2, {"lift": 0.1})
    assert (three.champion(), three.state().previous) == (2, 1)
    assert three.model.aliases() == {"champion": 2, "previous": 1}


def test_promoting_the_champion_again_is_refused(three):
    three.promote(1, "first")
    with pytest.raises(ReleaseError, match="champion already"):
        three.promote(1, "again")


def test_a_promotion_decided_against_another_champion_is_refused(three):
    three.promote(1, "first")
    three.promote(2, "second")
    with pytest.raises(LedgerConflict, match="version 1 was expected"):
        three.promote(3, "decided yesterday", expected_champion=1)
    assert three.champion() == 2


def test_a_promotion_that_began_before_another_ended_is_refused(three, monkeypatch):
    three.promote(1, "first")
    opened = three.open

    def open_slowly(version):
        if version == 3:  # while we verify release 3, a colleague promotes release 2
            monkeypatch.undo()
            three.promote(2, "colleague")
        return opened(version)

    monkeypatch.setattr(three, "open", open_slowly)
    with pytest.raises(LedgerConflict, match="somebody else was first"):
        three.promote(3, "me")
    assert three.champion() == 2


def test_rollback_returns_to_previous_and_a_second_one_goes_further_back(three):
    for version in (1, 2, 3):
        three.promote(version, "next")
    assert three.rollback("errors rose").to_version == 2
    assert (three.champion(), three.state().previous) == (2, 1)
    assert three.rollback("still bad").to_version == 1
    assert (three.champion(), three.state().previous) == (1, None)
    assert three.model.aliases() == {"champion": 1}
    with pytest.raises(ReleaseError, match="nothing to roll back to"):
        three.rollback("worse")


def test_rollback_does_not_go_back_to_another_logs_champion(registry, make_manifest):
    registry.promote(registry.register(make_manifest("first")), "first of shop")
    other = registry.register(make_manifest("second", dataset="newsroom"))
    registry.promote(other, "first of newsroom")
    with pytest.raises(ReleaseError, match="made from newsroom, its predecessor 1 from shop"):
        registry.rollback("errors rose")
    assert registry.champion() == other


def test_rollback_without_any_champion_says_so(registry):
    with pytest.raises(
        ReleaseError, match="there is no champion yet; make one with `homefeed run`"
    ):
        registry.rollback("hm")


def test_history_answers_which_release_was_champion_at_any_time(three, clock):
    for at_s, version in ((100, 1), (200, 2)):
        clock.time_s = at_s
        three.promote(version, "next")
    clock.time_s = 300
    three.rollback("errors")
    answers = [three.champion_at(t) for t in (99, 100, 199, 200, 299, 300, 1e9)]
    assert answers == [None, 1, 1, 2, 2, 1, 1]
    assert [e.action for e in three.history()] == [Action.PROMOTE, Action.PROMOTE, Action.ROLLBACK]


def test_a_refused_challenger_is_in_the_ledger_and_does_not_become_champion(three):
    three.promote(1, "first")
    decision = GateDecision(passed=False, reason="HIT@3 falls", figures={"difference": -0.1})
    with pytest.raises(PromotionRefused, match="HIT@3 falls"):
        three.promote(2, "please", decision=decision)
    last = three.history()[-1]
    assert (last.action, last.to_version, last.reason) == (Action.REFUSE, 2, "HIT@3 falls")
    assert last.verdict["gate"]["figures"] == {"difference": -0.1}
    assert three.champion() == 1


def test_the_challenger_is_named_until_it_is_promoted(three):
    three.promote(1, "first")
    three.set_challenger(2, "to be tested")
    assert three.model.aliases() == {"champion": 1, "challenger": 2}
    three.promote(2, "won")
    assert three.challenger() is None
    assert three.model.aliases() == {"champion": 2, "previous": 1}


def test_a_verb_without_a_reason_is_refused(three):
    with pytest.raises(ReleaseError, match="needs a reason"):
        three.promote(1, "  ")


def test_a_copied_workspace_opens_its_own_parts(three, workspace, tmp_path):
    moved = tmp_path / "moved"
    workspace.rename(moved)
    assert ReleaseRegistry(moved).open(3).ranker_path == moved / "rankers" / "third"


def test_of_two_processes_that_promote_at_once_one_wins_and_the_aliases_follow_it(three, workspace):
    script = (
        "import sys\n"
        "from homefeed.errors import LedgerConflict\n"
        "from homefeed.release import ReleaseRegistry\n"
        "try:\n"
        "    registry = ReleaseRegistry(sys.argv[1])\n"
        "    registry.promote(int(sys.argv[2]), 'race', expected_champion=None)\n"
        "    print('won', sys.argv[2])\n"
        "except LedgerConflict as error:\n"
        "    print('refused', error)\n"
    )
    command = [sys.executable, "-c", script, str(workspace)]
    racers = [
        subprocess.Popen([*command, str(version)], stdout=subprocess.PIPE, text=True)
        for version in (1, 2)
    ]
    said = sorted(racer.communicate(timeout=300)[0].strip() for racer in racers)
    assert said[0].startswith("refused champion is")
    assert "somebody else was first" in said[0]
    assert said[1] == f"won {three.champion()}"
    assert three.model.aliases() == {"champion": three.champion()}
