"""Whatever is wrong with the file of explanations costs explanations, never an answer."""

import logging
import sqlite3

import pytest

from serving.explain import ExplanationStore


def test_only_the_newest_explanations_are_kept(tmp_path):
    store = ExplanationStore(tmp_path / "explain.db", limit=3, trim_every=1)
    for n in range(6):
        store.put({f"r{n}": {"n": n}})
    assert [store.get(f"r{n}") for n in range(6)] == [None] * 3 + [{"n": 3}, {"n": 4}, {"n": 5}]


@pytest.mark.parametrize(
    "damage", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000]
)
def test_a_damaged_file_is_begun_anew_and_told(tmp_path, caplog, damage):
    path = tmp_path / "explain.db"
    path.write_bytes(damage)
    with caplog.at_level(logging.WARNING, "homefeed.serving"):
        store = ExplanationStore(path, limit=3)
    (told,) = caplog.messages
    assert told.startswith(f"{path} is damaged (")
    store.put({"r1": {"n": 1}})
    assert ExplanationStore(path, limit=3).get("r1") == {"n": 1}


def test_where_no_file_can_be_opened_nothing_is_kept_and_it_is_told_once(tmp_path, caplog):
    path = tmp_path / "explain.db"
    path.mkdir()
    store = ExplanationStore(path, limit=3)
    for n in range(3):
        store.offer({f"r{n}": {"n": n}})
    store.close()
    assert store.get("r1") is None
    (told,) = caplog.messages
    assert told.startswith(f"explanations are not kept in {path}: unable to open")


def test_a_write_that_failed_does_not_fail_those_after_it(tmp_path):
    store = ExplanationStore(tmp_path / "explain.db", limit=3)
    with sqlite3.connect(store.path) as other:
        other.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON explanations WHEN NEW.request_id = 'bad' "
            "BEGIN SELECT raise(FAIL, 'the disk is full'); END"
        )
    with pytest.raises(sqlite3.DatabaseError, match="the disk is full"):
        store.put({"bad": {}})
    store.put({"r1": {"n": 1}})
    assert store.get("r1") == {"n": 1}


def test_what_a_slow_file_holds_up_is_bounded(slow_explanations, caplog):
    store = slow_explanations(limit=9, most_waiting=2)
    for n in range(4):
        store.offer({f"r{n}": {"n": n}})
    store.go.set()
    store.close()
    assert [store.get(f"r{n}") for n in range(4)] == [{"n": 0}, {"n": 1}, None, None]
    assert ["the file is slow" in told for told in caplog.messages] == [True]
