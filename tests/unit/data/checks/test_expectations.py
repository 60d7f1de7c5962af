"""The adapter of Great Expectations, on a DuckDB file of our own making."""

import dataclasses

import polars as pl
import pytest

from homefeed.config import ChecksConfig
from homefeed.data.checks.data_docs import copy_offline
from homefeed.data.checks.expectations import validate
from homefeed.data.checks.marking import marks_at
from homefeed.data.checks.rules import rules_for
from homefeed.data.specification import DatasetSpec

SPEC = DatasetSpec(name="x", files={"actions": "a"}, positive=("buy",))
LIMITS = ChecksConfig()
NOW_MS = 1_800_000_000_000


@pytest.fixture
def verdicts(tmp_path):
    """Validate a table of actions; ``change`` may alter the rules."""

    def run(table: pl.DataFrame, limits=LIMITS, change=lambda rules: rules):
        table.write_parquet(tmp_path / "actions.parquet")
        with marks_at(tmp_path / "marks.duckdb", 256) as marks:
            marks.add_table("actions", tmp_path / "actions.parquet")
            rules = rules_for("actions", SPEC, tuple(table.columns), limits, NOW_MS, False)
            marks.mark("actions", rules)
            broken = marks.broken("actions", rules)
        rules = change(rules)
        found = validate(
            marks.path, marks.settings, {"actions": rules}, {"actions": broken}, tmp_path
        )
        names = ["not_empty", *(rule.reason for rule in rules)]
        return dict(zip(names, found["actions"], strict=True))

    return run


def table(rows: int) -> pl.DataFrame:
    types = {"user_id": pl.Int64, "item_id": pl.Int64, "action_type": pl.String}
    values = {"user_id": range(rows), "item_id": range(rows), "action_type": ["buy"] * rows}
    times = pl.Series("timestamp", [1_700_000_000_000] * rows, pl.Int64)
    return pl.DataFrame(values, schema=types).with_columns(times)


def test_good_rows_pass_every_expectation(verdicts):
    assert all(verdict.passed for verdict in verdicts(table(20)).values())


@pytest.mark.parametrize(("wrong", "passes"), [(2, True), (3, False)])
def test_a_share_at_the_limit_passes_and_one_above_fails(verdicts, wrong, passes):
    limits = ChecksConfig(max_rejected_share=0.1)
    kind = pl.when(pl.col("user_id") < wrong).then(pl.lit("?")).otherwise("action_type")
    found = verdicts(table(20).with_columns(kind.alias("action_type")), limits)
    assert found["action_type_unknown"].passed is passes
    assert found["any"].passed is passes
    assert found["item_id_missing"].passed


def test_a_rule_without_an_expectation_of_its_own_fails_by_its_share(verdicts):
    rows = pl.concat([table(20), table(20).head(5)])
    found = verdicts(rows)
    assert [name for name, verdict in found.items() if not verdict.passed] == ["duplicate"]
    assert "5 rows break it" in found["duplicate"].name


def test_an_empty_table_fails_though_every_row_is_good(verdicts):
    found = verdicts(table(0))
    assert not found["not_empty"].passed
    assert found["any"].passed


def test_an_error_of_the_engine_is_a_failure_that_says_what_happened(verdicts):
    def point_at_nothing(rules):
        wrong = ("ExpectColumnValuesToNotBeNull", {"column": "no_such_column"})
        return [dataclasses.replace(rules[0], native=wrong), *rules[1:]]

    found = verdicts(table(5), change=point_at_nothing)
    assert not found["user_id_missing"].passed
    assert "no_such_column" in found["user_id_missing"].error
    assert found["item_id_missing"].passed


def test_the_data_docs_open_without_a_network(verdicts, tmp_path):
    verdicts(table(5))
    copy_offline(tmp_path, tmp_path / "docs")
    pages = list((tmp_path / "docs").rglob("*.html"))
    assert tmp_path / "docs" / "index.html" in pages
    assert any("validations" in page.parts for page in pages)
    text = "".join(page.read_text() for page in pages)
    assert "action_type is declared" in text
    for word in ("http:", "https:", 'src="', "<script", "<link"):
        assert word not in text, word
