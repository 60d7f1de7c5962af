"""Great Expectations behind one adapter: our rules become suites, its verdicts become ours.

What the adapter adds to the library (reference: measured on 1.24): DuckDB's results outlive
their query, an empty table fails, an error of the engine is a failure that says what happened,
and nothing is sent or fetched.
"""

import atexit
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homefeed.data.checks.rule import Rule, marked_by

SITE = "gx/uncommitted/data_docs/local_site"


class _DuckDB(str):
    """A dialect name in the shape in which Great Expectations lists those it knows."""

    value = "duckdb"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What Great Expectations said about one expectation. ``error`` is the engine's, if any."""

    name: str
    passed: bool
    error: str | None = None


def validate(
    database: Path,
    settings: Mapping[str, Any],
    suites: Mapping[str, Sequence[Rule]],
    broken: Mapping[str, Sequence[int]],
    project: Path,
) -> dict[str, list[Verdict]]:
    """Run one suite per table against the DuckDB file and build the Data Docs below ``project``.

    The verdicts are in the order of the rules, after that of the first expectation, which each
    suite has: the table is not empty. ``marks_<table>`` must be in the file (marking.py);
    ``broken`` are the rows marked by each rule, for the words of the Data Docs.
    """
    gx = load_great_expectations()
    context = gx.get_context(mode="file", project_root_dir=str(project))
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    source = context.data_sources.add_or_update_sql(
        "dataset",
        connection_string=f"duckdb:///{database}",
        kwargs={"connect_args": {"config": dict(settings)}},
    )
    try:
        definitions = [
            _definition(gx, context, source, table, rules, broken[table])
            for table, rules in suites.items()
        ]
        docs = gx.checkpoint.UpdateDataDocsAction(name="data_docs")
        checkpoint = gx.Checkpoint(name="check", validation_definitions=definitions, actions=[docs])
        outcome = context.checkpoints.add(checkpoint).run()
    finally:
        _close(source)
    found = {
        result.suite_name: {r.expectation_config.meta["rule"]: r for r in result.results}
        for result in outcome.run_results.values()
    }
    return {table: _verdicts(found[table], len(rules)) for table, rules in suites.items()}


def load_great_expectations() -> Any:
    """Import the library (seconds), quiet, offline and at ease with DuckDB."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx
    from great_expectations.execution_engine import sqlalchemy_execution_engine as sql

    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    # It fetches rows after it has closed the connection, and DuckDB's results die with theirs:
    # for the dialects listed here it keeps the connection. The list has no public way in.
    if "duckdb" not in sql._PERSISTED_CONNECTION_DIALECTS:
        sql._PERSISTED_CONNECTION_DIALECTS = (
            *sql._PERSISTED_CONNECTION_DIALECTS,
            _DuckDB("duckdb"),
        )
        atexit.register(_end_quietly)
    return gx


def _close(source: Any) -> None:
    """Let go of the file: its own close() forgets the connection that it keeps for DuckDB."""
    execution = source.get_execution_engine()
    if execution._connection:
        execution._connection.close()
    execution.engine.dispose()
    source.get_engine().dispose()


def _end_quietly() -> None:
    """Close stderr as Python's last act.

    Great Expectations keeps DuckDB's types alive to the very end, and DuckDB then prints a page of
    harmless leak warnings, from C++, after the program's own last lines (and its traceback).
    """
    sys.stderr.flush()
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)


def _definition(
    gx: Any, context: Any, source: Any, table: str, rules: Sequence[Rule], broken: Sequence[int]
) -> Any:
    from great_expectations import expectations

    suite = context.suites.add(gx.ExpectationSuite(name=table))
    suite.add_expectation(
        expectations.ExpectTableRowCountToBeBetween(
            min_value=1, meta={"rule": 0}, description="the table is not empty"
        )
    )
    for index, count in enumerate(broken):
        suite.add_expectation(_expectation(expectations, table, rules, index, count))
    suite.save()
    asset = source.add_table_asset(table, table_name=table)
    batch = asset.add_batch_definition_whole_table("all")
    return context.validation_definitions.add(
        gx.ValidationDefinition(name=table, data=batch, suite=suite)
    )


def _expectation(
    expectations: Any, table: str, rules: Sequence[Rule], index: int, broken: int
) -> Any:
    rule = rules[index]
    text = f"{rule.name} ({broken:,} rows break it, at most {100 * rule.limit:g} % may)"
    shared = {"description": text, "meta": {"rule": index + 1}}
    if rule.native:
        kind, arguments = rule.native
        # Rounded: 1 - 0.05 is a little more than 0.95.
        mostly = round(1 - rule.limit, 9)
        return getattr(expectations, kind)(**arguments, mostly=mostly, **shared)
    bits = marked_by(rules, index)
    # One row comes back, and fails the expectation, where too many rows are marked.
    query = f"""
        SELECT bad_rows, all_rows FROM (
            SELECT (SELECT count(*) FROM marks_{table} WHERE mask & {bits} <> 0) AS bad_rows,
                   count(*) AS all_rows
            FROM {{batch}}
        ) AS counted WHERE bad_rows > {rule.limit!r} * all_rows"""
    return expectations.UnexpectedRowsExpectation(unexpected_rows_query=query, **shared)


def _verdicts(found: Mapping[int, Any], count: int) -> list[Verdict]:
    verdicts = []
    for index in range(count + 1):
        result = found.get(index)
        if result is None:
            verdicts.append(Verdict(name="", passed=False, error="no result came back"))
            continue
        name = result.expectation_config.description
        error = _engine_error(result.exception_info)
        verdicts.append(Verdict(name=name, passed=bool(result.success) and not error, error=error))
    return verdicts


def _engine_error(information: Mapping[str, Any]) -> str | None:
    """The first line of what the engine raised: it comes flat, or by metric."""
    for part in (information, *(v for v in information.values() if isinstance(v, Mapping))):
        if part.get("raised_exception"):
            return str(part.get("exception_message")).strip().splitlines()[0]
    return None
