"""``homefeed ab status``: how many users and requests each arm has by now."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from homefeed.abtest.definition import parse_definition
from homefeed.abtest.running import start_test
from serving.event_log import EventLog
from serving.logged import Exposure

# User, arm, test; each in a request of its own.
SHOWN = [
    *[("i:1", "a", "t"), ("i:1", "a", "t"), ("i:2", "a", "t"), ("i:1", "b", "t")],
    *[("i:3", "b", "other"), ("i:4", None, "t"), ("i:5", None, None)],
]


def test_the_status_counts_exposures_and_reads_no_action(homefeed: Any, tmp_path: Path) -> None:
    workspace = tmp_path / ".homefeed"
    arms = {"a": {"release": 1}, "b": {"release": 2}, "c": {"release": 3}}
    values = {"name": "t", "arms": arms, "primary": {"name": "requests"}}
    start_test(workspace, parse_definition(values), at_s=0.0)

    def counted() -> list[tuple[str, int, int]]:
        rows = homefeed("ab", "status", "--json").json
        assert [(row["problem"], row["release"]) for row in rows] == [("", 1), ("", 2), ("", 3)]
        return [(row["arm"], row["users"], row["requests"]) for row in rows]

    assert counted() == [("a", 0, 0), ("b", 0, 0), ("c", 0, 0)], "nothing was served yet"
    log = EventLog(workspace / "events.db")
    log.append(
        exposures=[
            Exposure(
                request_id=f"r{n}", endpoint="feed", user_id=user, time_ms=n, test=test, arm=arm,
                release_version=1, release_hash="",
            )
            for n, (user, arm, test) in enumerate(SHOWN)
        ]
    )  # fmt: skip
    log.close()
    with closing(sqlite3.connect(workspace / "events.db")) as database, database:
        database.execute("DROP TABLE actions")  # whoever asks for an action is refused
    assert counted() == [("a", 2, 3), ("b", 1, 1), ("c", 0, 0)]
