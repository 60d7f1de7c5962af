import sqlite3
import subprocess
import sys
import threading

import pytest

from homefeed.errors import ArtifactError, StorageError
from serving.event_log import EventLog
from serving.logged import Action, Exposure, content_event_id


def test_an_event_is_recorded_once(log, make_action):
    first, again = log.append([make_action("a")])[0], log.append([make_action("a")])[0]
    assert (first.status, again.status) == ("accepted", "duplicate")
    assert first.seq == again.seq
    assert len(list(log.actions())) == 1


def test_one_batch_may_hold_an_event_twice(log, make_action):
    results = log.append([make_action("a"), make_action("a"), make_action("b")])
    assert [result.status for result in results] == ["accepted", "duplicate", "accepted"]


def test_an_event_id_with_other_content_is_a_conflict_and_the_first_stays(log, make_action):
    log.append([make_action("a", "i:1")])
    assert log.append([make_action("a", "i:2")])[0].status == "conflict"
    assert [action.item_id for action in log.actions()] == ["i:1"]


def test_what_was_written_is_read_back_equal(log, make_action):
    action = make_action(
        "é", "s:Łódź", 12, duration_s=2.5, surface="home", request_id="r", arrived_ms=99
    )
    seq = log.append([action])[0].seq
    (read,) = log.actions_of("i:7")
    assert read == Action(**{**{n: getattr(action, n) for n in Action.__slots__}, "seq": seq})


def test_the_watermark_is_the_newest_number_and_reads_go_on_after_it(log, make_action):
    assert log.watermark() == 0
    log.append([make_action("a"), make_action("b")])
    mark = log.watermark()
    log.append([make_action("c"), make_action("d", user_id="i:8")])
    assert [action.event_id for action in log.actions_of("i:7", after=mark)] == ["c"]
    assert [action.event_id for action in log.actions(after=mark)] == ["c", "d"]
    assert [action.event_id for action in log.actions(upto=mark)] == ["a", "b"]


def test_of_many_actions_the_newest_are_read(log, make_action):
    log.append([make_action(f"e{n}", time_ms=n) for n in range(10)])
    assert [a.event_id for a in log.actions_of("i:7", limit=3)] == ["e7", "e8", "e9"]


def test_exposures_are_kept_with_their_items_and_test(log):
    shown = Exposure(
        request_id="r1",
        endpoint="feed",
        user_id="i:7",
        time_ms=5_000,
        test="t",
        arm="b",
        release_version=3,
        release_hash="h",
        degraded="popular_items",
        items=(("i:1", 0.5, "popular"), ("i:2", None, "recent")),
    )
    other = Exposure(request_id="r2", endpoint="rank", user_id="i:7", time_ms=6_000)
    log.append([], [shown, other])
    log.append([], [shown])
    assert list(log.exposures()) == [shown, other]
    assert list(log.exposures(test="t")) == [shown]
    assert log.shown_to("i:7", since_ms=5_000, before_ms=5_001) == {"i:1": 5_000, "i:2": 5_000}
    assert log.shown_to("i:7", since_ms=1, before_ms=5_000) == {}, "strictly before"
    assert log.shown_to("i:7", since_ms=5_001, before_ms=9_000) == {}


def test_equal_content_gives_an_equal_event_id():
    assert content_event_id("a", 1) == content_event_id("a", 1) != content_event_id("a", "1")


WRITER = """
import sys
from serving.event_log import EventLog
from serving.logged import Action
path, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
log = EventLog(path)
for n in range(count):
    log.append([Action(event_id=f"{name}-{n}", user_id="i:1", item_id=f"i:{n}",
                       action_type="click", time_ms=n, arrived_ms=n)])
"""
DIES_IN_THE_MIDDLE = (
    WRITER
    + """
connection = log._connection()
connection.execute("BEGIN IMMEDIATE")
connection.execute("DELETE FROM actions")
print("written", flush=True)
sys.stdin.read()
"""
)


def write(path, name: str, count: int, script: str = WRITER) -> subprocess.Popen:
    """Another process that appends ``count`` actions, each in a transaction of its own."""
    command = [sys.executable, "-c", script, str(path), name, str(count)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_readers_never_miss_a_number_while_processes_write(tmp_path):
    """Whoever read number n has read all up to n: the property that watermarks stand on."""
    path, count = tmp_path / "events.db", 60
    log = EventLog(path)
    writers = [write(path, f"w{w}", count) for w in range(3)]
    read_by, done = [], threading.Event()

    def read() -> None:
        after, seen = 0, set()
        while True:
            last = done.is_set()
            for action in log.actions_of("i:1", after=after, limit=10**6):
                seen.add(action.event_id)
                after = action.seq
            if last:
                break
        read_by.append(seen)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    codes = [writer.wait(60) for writer in writers]
    done.set()
    for reader in readers:
        reader.join(60)
    assert codes == [0, 0, 0]
    everything = {f"w{w}-{n}" for w in range(3) for n in range(count)}
    assert read_by == [everything, everything]


def test_processes_that_open_a_new_log_at_once_all_succeed(tmp_path):
    path = tmp_path / "new" / "events.db"
    writers = [write(path, f"w{w}", 1) for w in range(4)]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    assert len(list(EventLog(path).actions())) == 4


def test_what_was_answered_survives_a_killed_writer_and_what_was_not_does_not(
    tmp_path, make_action
):
    path = tmp_path / "events.db"
    writer = write(path, "kept", 2, DIES_IN_THE_MIDDLE)
    assert writer.stdout.readline() == b"written\n"
    writer.kill()
    writer.wait()
    assert [action.event_id for action in EventLog(path).actions()] == ["kept-0", "kept-1"]
    assert EventLog(path).append([make_action("next")])[0].status == "accepted"


def test_a_file_that_is_no_event_log_is_named(tmp_path):
    path = tmp_path / "events.db"
    path.write_bytes(b"not a database at all, but long enough to look at" * 50)
    with pytest.raises(ArtifactError, match=r"events\.db is not an event log"):
        EventLog(path)


def test_a_log_of_another_version_is_refused(tmp_path):
    path = tmp_path / "events.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 9")
    with pytest.raises(ArtifactError, match="version 9, this code reads 1"):
        EventLog(path)


def test_a_full_disk_is_told_and_nothing_is_half_written(log, make_action):
    connection = log._connection()
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own way to be full
    many = [make_action(f"e{n}", surface="x" * 500) for n in range(200)]
    with pytest.raises(StorageError, match="free some space"):
        log.append(many)
    assert list(log.actions()) == []


def test_a_log_that_was_damaged_under_way_is_told_as_one(log, make_action):
    log.append([make_action("e1")])
    connection = log._connection()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with log.path.open("r+b") as file:
        file.seek(1024)
        file.write(b"\xff" * (log.path.stat().st_size - 1024))
    connection.execute("PRAGMA shrink_memory")
    with pytest.raises(ArtifactError, match="is not an event log, or damaged"):
        EventLog(log.path).append([make_action(f"f{n}") for n in range(50)])


def test_a_log_survives_a_loss_of_power_unless_told_otherwise(tmp_path):
    for given, stored in (({}, 2), ({"synchronous": "NORMAL"}, 1)):
        log = EventLog(tmp_path / f"{stored}.db", **given)
        assert log._connection().execute("PRAGMA synchronous").fetchone() == (stored,)
        assert log._connection().execute("PRAGMA journal_mode").fetchone() == ("wal",)
