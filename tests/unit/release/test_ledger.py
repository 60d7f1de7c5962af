"""The ledger: append-only, compare-and-set, one winner of two real processes."""

import json
import sqlite3
import subprocess
import sys
import textwrap
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homefeed.errors import ArtifactError, LedgerConflict
from homefeed.release.entries import Action, LedgerEntry, fold
from homefeed.release.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path, make_manifest) -> Ledger:
    ledger = Ledger(tmp_path / "ledger.db")
    for version, name in enumerate(("first", "second", "third"), start=1):
        ledger.add_release(version, make_manifest(name), at_s=1.0)
    return ledger


def _promote(ledger: Ledger, version: int, expected=None) -> LedgerEntry:
    return ledger.append(
        Action.PROMOTE, lambda _: version, at_s=5.0, who="me", reason="why", expected=expected
    )


def test_an_entry_once_written_cannot_be_changed_or_removed(ledger):
    _promote(ledger, 1)
    with sqlite3.connect(ledger.path) as connection:
        for statement in (
            "UPDATE entries SET reason = 'other'",
            "UPDATE releases SET manifest = '{}'",
            "DELETE FROM entries",
            "DELETE FROM releases",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)
    assert [entry.reason for entry in ledger.entries()] == ["why"]


def test_the_state_that_was_decided_against_must_still_hold(ledger):
    before = ledger.state()
    _promote(ledger, 1, expected=before)
    with pytest.raises(LedgerConflict, match="champion is now version 1"):
        _promote(ledger, 2, expected=before)
    assert len(ledger.entries()) == 1


def test_a_champion_that_left_and_came_back_is_still_a_conflict(ledger):
    """The version alone would look unchanged; the entry that made it champion does not."""
    _promote(ledger, 1)
    before = ledger.state()
    _promote(ledger, 2)
    ledger.append(Action.ROLLBACK, lambda s: s.previous, at_s=6.0, who="me", reason="bad")
    assert ledger.state().champion == before.champion
    with pytest.raises(LedgerConflict, match="somebody else was first"):
        _promote(ledger, 3, expected=before)


def test_a_refusal_inside_the_transaction_leaves_no_entry(ledger):
    def refuse(_):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        ledger.append(Action.PROMOTE, refuse, at_s=1.0, who="me", reason="why")
    assert ledger.entries() == []
    assert _promote(ledger, 1).seq == 1


def test_an_error_after_which_sqlite_goes_back_by_itself_is_the_one_that_is_told(ledger):
    with closing(sqlite3.connect(ledger.path)) as broken:
        broken.execute(
            "CREATE TRIGGER broken BEFORE INSERT ON entries "
            "BEGIN SELECT RAISE(ROLLBACK, 'disk I/O error'); END"
        )
    with pytest.raises(ArtifactError, match="disk I/O error"):
        _promote(ledger, 1)


def test_one_version_cannot_be_two_releases(ledger, make_manifest):
    with pytest.raises(LedgerConflict, match="different workspaces"):
        ledger.add_release(1, make_manifest("other"), at_s=1.0)
    with pytest.raises(LedgerConflict, match="different workspaces"):
        ledger.add_release(9, make_manifest("first"), at_s=1.0)


def test_a_file_that_is_no_ledger_is_named(tmp_path):
    path = tmp_path / "ledger.db"
    path.write_bytes(b"not a database, but long enough to look like one" * 100)
    with pytest.raises(ArtifactError, match=r"ledger\.db cannot be read"):
        Ledger(path).entries()


def test_reading_a_ledger_that_does_not_exist_creates_nothing(tmp_path):
    assert Ledger(tmp_path / "ledger.db").state().champion is None
    assert list(tmp_path.iterdir()) == []


def test_a_first_writer_that_was_killed_leaves_a_ledger_that_the_next_one_writes(
    tmp_path, make_manifest
):
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path)) as killed:  # before it committed: a file without tables
        killed.execute("PRAGMA journal_mode=WAL")
    ledger = Ledger(path)
    assert (ledger.entries(), ledger.versions(), ledger.version_of("x")) == ([], [], None)
    ledger.add_release(1, make_manifest(), at_s=0.0)
    assert ledger.versions() == [1]


def test_of_two_processes_that_promote_at_once_one_wins_and_one_is_refused(ledger, tmp_path):
    script = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from homefeed.errors import LedgerConflict
        from homefeed.release.entries import Action
        from homefeed.release.ledger import Ledger

        path, version, gate = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
        ledger = Ledger(path)
        before = ledger.state()
        gate.with_suffix("." + sys.argv[2]).touch()  # I have read the state
        while not gate.exists():
            time.sleep(0.001)
        try:
            ledger.append(Action.PROMOTE, lambda _: version, at_s=1.0, who="p", reason="race",
                          expected=before)
            print("won")
        except LedgerConflict as error:
            print("refused:", error)
        """
    )
    gate = tmp_path / "gate"
    command = [sys.executable, "-c", script, str(ledger.path)]
    racers = [
        subprocess.Popen([*command, str(version), str(gate)], stdout=subprocess.PIPE, text=True)
        for version in (1, 2)
    ]
    while not all(gate.with_suffix(f".{version}").exists() for version in (1, 2)):
        assert all(racer.poll() is None for racer in racers)
        time.sleep(0.01)
    gate.touch()
    said = sorted(racer.communicate(timeout=300)[0].strip() for racer in racers)
    assert said[0].startswith("refused: champion is now version")
    assert said[1] == "won"
    assert len(ledger.entries()) == 1


@given(st.lists(st.sampled_from(["promote", "rollback", "challenge", "hold"]), max_size=25))
@settings(max_examples=200, deadline=None)
def test_the_line_of_champions_is_a_stack(verbs):
    """Reference: a list that promotions push to and rollbacks pop from."""
    entries, line, moved = [], [], 0
    for number, verb in enumerate(verbs, start=1):
        if verb == "rollback" and len(line) < 2:
            continue
        if verb == "promote":
            line.append(number)
        elif verb == "rollback":
            line.pop()
        to_version = line[-1] if verb == "rollback" else number
        entries.append(
            LedgerEntry(
                seq=number,
                at_s=0.0,
                who="w",
                action=Action(verb),
                from_version=None,
                to_version=to_version,
                reason="r",
            )
        )
        moved = number if verb in ("promote", "rollback") else moved
        state = fold(entries)
        assert state.champion == (line[-1] if line else None)
        assert state.previous == (line[-2] if len(line) > 1 else None)
        assert state.champion_seq == moved


def test_a_verdict_comes_back_as_it_went(ledger):
    verdict = {"lift": [0.1, 0.2], "metric": "HIT@3", "ü": None}
    ledger.append(Action.HOLD, lambda _: 1, at_s=1.0, who="w", reason="r", verdict=verdict)
    assert ledger.entries()[0].verdict == json.loads(json.dumps(verdict))
