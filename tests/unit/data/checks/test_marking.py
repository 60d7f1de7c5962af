"""The rules in SQL against the rules in plain Python, row by row."""

import math
from collections import Counter
from pathlib import Path

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from homefeed.config import ChecksConfig
from homefeed.data.checks.marking import marks_at
from homefeed.data.checks.rule import marked_by
from homefeed.data.checks.rules import rules_for
from homefeed.data.specification import DatasetSpec

DAY_MS = 86_400_000
START_MS, NOW_MS = 1_700_000_000_000, 1_700_000_000_000 + 20 * DAY_MS
SPEC = DatasetSpec(
    name="x",
    files={"actions": "a"},
    positive=("buy", "it's"),
    span=(START_MS // 1000, START_MS // 1000 + 10 * 86_400),
)
LIMITS = ChecksConfig(max_actions_per_user_day=3)

rows = st.lists(
    st.fixed_dictionaries(
        {
            "user_id": st.sampled_from([1, 2, None]),
            "item_id": st.sampled_from([1, 2, 3, None]),
            "action_type": st.sampled_from(["buy", "it's", "?", None]),
            "timestamp": st.sampled_from(
                [
                    START_MS,
                    START_MS + 1,
                    START_MS + 3 * DAY_MS,
                    START_MS - 1,
                    NOW_MS + 1,
                    -1,
                    0,
                    2**43,
                    None,
                ]
            ),
            "duration_s": st.sampled_from([0.0, 5.5, -1.0, math.inf, 1e9]),
            "time_known": st.booleans(),
        }
    ),
    min_size=1,
    max_size=30,
)
TYPES = {
    "user_id": pl.Int64,
    "item_id": pl.Int64,
    "action_type": pl.String,
    "timestamp": pl.Int64,
    "duration_s": pl.Float32,
    "time_known": pl.Boolean,
}


def broken_by_reason(folder: Path, table: pl.DataFrame, items: list[int]) -> dict[str, list[int]]:
    """Reason → numbers of the rows that break the rule, as the SQL finds them."""
    table.write_parquet(folder / "actions.parquet")
    pl.DataFrame({"item_id": items}, schema={"item_id": pl.Int64}).write_parquet(
        folder / "i.parquet"
    )
    with marks_at(folder / "marks.duckdb", 256) as marks:
        marks.add_table("actions", folder / "actions.parquet")
        marks.add_known_items([folder / "i.parquet"], None)
        rules = rules_for("actions", SPEC, tuple(table.columns), LIMITS, NOW_MS, True)
        marks.mark("actions", rules)
        numbers, masks = marks.masks("actions")
        found = {
            rule.reason: numbers[masks & marked_by(rules, i) != 0].tolist()
            for i, rule in enumerate(rules)
        }
        assert marks.broken("actions", rules) == [len(found[rule.reason]) for rule in rules]
    return found


def plain_reasons(table: list[dict], items: list[int]) -> dict[str, list[int]]:
    """The same by reading the rules aloud, one row after the other."""
    low, high = SPEC.span[0] * 1000, SPEC.span[1] * 1000
    found: dict[str, list[int]] = {}
    timed = [row for row in table if row["time_known"] and row["timestamp"] is not None]
    a_day = Counter((row["user_id"], row["timestamp"] // DAY_MS) for row in timed)
    seen = set()
    for number, row in enumerate(table):
        time, long = row["timestamp"], row["duration_s"]
        key = tuple(str(row[column]) for column in TYPES)
        busy = time is not None and a_day[row["user_id"], time // DAY_MS] > 3
        wrong = {
            "user_id_missing": row["user_id"] is None,
            "item_id_missing": row["item_id"] is None,
            "action_type_missing": row["action_type"] is None,
            "timestamp_missing": time is None,
            "timestamp_in_future": time is not None and time > NOW_MS,
            "timestamp_out_of_range": time is not None
            and not (0 < time <= (2**32 - 1) * 1000 or (time == 0 and not row["time_known"])),
            "timestamp_outside_span": time is not None and not low <= time < high,
            "action_type_unknown": row["action_type"] == "?",
            "duration_out_of_range": not 0 <= long <= 7 * 86_400,
            "impossible_rate": busy and row["time_known"] and row["user_id"] is not None,
            "item_unseen": row["item_id"] is not None and row["item_id"] not in items,
            "duplicate": row["time_known"] and key in seen,
        }
        if row["time_known"]:
            seen.add(key)
        counted = [r for r, is_wrong in wrong.items() if is_wrong]
        wrong["any"] = any(r not in ("item_unseen", "duplicate") for r in counted)
        for reason, is_wrong in wrong.items():
            found.setdefault(reason, [])
            if is_wrong:
                found[reason].append(number)
    return found


@settings(max_examples=15)
@given(rows, st.lists(st.integers(1, 3), min_size=1, max_size=3))
def test_every_rule_marks_the_rows_that_its_words_say(tmp_path_factory, table, items):
    folder = tmp_path_factory.mktemp("marks")
    found = broken_by_reason(folder, pl.DataFrame(table, schema=TYPES), items)
    assert found == plain_reasons(table, items)
