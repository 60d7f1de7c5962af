"""The aliases of real MLflow follow the ledger, whatever happens in between."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager

import pytest

from homefeed.errors import StorageError
from homefeed.release import Action


@pytest.fixture
def aliases_refused(three) -> Callable[[], AbstractContextManager[None]]:
    """Within it, MLflow reads its database and can move no alias. What it says has two lines."""
    file = three.model.tracking_uri.removeprefix("sqlite:///")

    @contextmanager
    def refused() -> Iterator[None]:
        with closing(sqlite3.connect(file)) as beside:
            for verb in ("INSERT", "UPDATE"):
                beside.execute(
                    f"CREATE TRIGGER refuse_{verb} BEFORE {verb} ON registered_model_aliases "
                    'BEGIN SELECT * FROM "no\n  place"; END'
                )
            try:
                yield
            finally:
                for verb in ("INSERT", "UPDATE"):
                    beside.execute(f"DROP TRIGGER refuse_{verb}")

    return refused


def test_a_projection_lost_in_a_crash_is_repaired(three, aliases_refused):
    three.promote(1, "first")
    with aliases_refused():  # as after a crash: the ledger has moved, the aliases have not
        three.promote(2, "second")
    assert three.model.aliases() == {"champion": 1}
    three.project()
    assert three.model.aliases() == {"champion": 2, "previous": 1}
    three.project()
    assert three.model.aliases() == {"champion": 2, "previous": 1}


@pytest.mark.parametrize("verb", ["promote", "rollback", "set_challenger"])
def test_a_verb_whose_aliases_mlflow_refuses_is_done_says_so_and_the_next_one_projects(
    three, verb, aliases_refused, capsys
):
    three.promote(1, "first")
    three.promote(2, "second")
    version = () if verb == "rollback" else (3,)
    with aliases_refused():
        entry = getattr(three, verb)(*version, reason="now")
    assert entry == three.history()[-1]
    warning = capsys.readouterr().err
    assert warning.count("\n") == 1
    assert f"the ledger has moved (entry {entry.seq}: {entry.action}" in warning
    assert warning.endswith(": (sqlite3.OperationalError) no such table: main.no place\n")
    assert three.model.aliases() == {"champion": 2, "previous": 1}
    three.set_challenger(3, "the next verb")
    state = three.state()
    wanted = {"champion": state.champion, "previous": state.previous, "challenger": 3}
    assert three.model.aliases() == {k: v for k, v in wanted.items() if v is not None}


def test_an_error_of_our_own_while_projecting_does_not_call_the_verb_failed_either(
    three, monkeypatch, capsys
):
    def refuse(state):
        raise StorageError("the disk is full")

    monkeypatch.setattr(three.model, "project", refuse)
    assert three.promote(1, "first").to_version == three.champion() == 1
    assert "do not repeat it" in capsys.readouterr().err


def test_who_interrupts_while_it_projects_is_told_that_the_ledger_has_moved(
    three, monkeypatch, capsys
):
    def interrupted(state):
        raise KeyboardInterrupt

    monkeypatch.setattr(three.model, "project", interrupted)
    with pytest.raises(KeyboardInterrupt):
        three.promote(1, "first")
    assert three.champion() == 1
    assert "the ledger has moved (entry 1: promote 1), do not repeat it" in capsys.readouterr().err


def test_a_promotion_between_projection_and_reading_again_is_projected_too(three, monkeypatch):
    three.promote(1, "the first")
    project = three.model.project

    def overtaken(state):
        project(state)
        monkeypatch.setattr(three.model, "project", project)
        three.ledger.append(
            Action.PROMOTE, lambda _: 2, at_s=2_000.0, who="somebody else", reason="faster"
        )

    monkeypatch.setattr(three.model, "project", overtaken)
    three.project()
    assert three.model.aliases()["champion"] == 2
