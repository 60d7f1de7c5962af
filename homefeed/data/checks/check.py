"""The check step: every table against its rules, bad rows set aside, refusal above thresholds."""

import dataclasses
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from homefeed.artifacts import is_disk_full, write_json, writing
from homefeed.config import ChecksConfig
from homefeed.data.checks.data_docs import copy_offline
from homefeed.data.checks.expectations import Verdict, validate
from homefeed.data.checks.marking import Marks, marks_at
from homefeed.data.checks.report import CheckReport, ExpectationResult, TableReport
from homefeed.data.checks.rule import Rule, marked_by, rejecting_bits
from homefeed.data.checks.rules import rules_for
from homefeed.data.checks.splitting import split_rows
from homefeed.data.checks.targets import require_targets
from homefeed.data.checks.units import (
    require_one_zone,
    require_plausible_times,
    require_right_types,
)
from homefeed.data.contract import Dataset
from homefeed.data.files import unreadable
from homefeed.data.sequences.encode import require_codes
from homefeed.data.specification import FILE_NAME, write_spec
from homefeed.data.tables import require_ids_fit, scan_for_check
from homefeed.errors import CheckRefused, DatasetError
from homefeed.schema import (
    ACTIONS,
    ARRIVED_AT,
    CREATED_AT,
    ITEM_ID,
    ITEMS,
    SURFACE,
    TABLES,
    TIMESTAMP,
)

MEMORY_MB = 1024  # what DuckDB may hold; the rest it spills


def check(
    dataset: Dataset,
    out: Path,
    thresholds: ChecksConfig,
    now_s: float,
    *,
    known_items: Sequence[Dataset] = (),
    refused: Path | None = None,
    memory_mb: int = MEMORY_MB,
) -> CheckReport:
    """Write the good rows of ``dataset`` as a data set at ``out``, and say what was wrong.

    ``out`` holds dataset.yaml, one Parquet file per table, rejected/<table>.parquet (with the
    columns ``row`` and ``reason``), report.json and data_docs/. The items of ``known_items`` (the
    data sets so far, where one new day is checked) count as known beside the set's own.

    Raises DatasetError (exit 2) where a file cannot be read, a table is empty, times are in
    another unit than declared, or a whole set has no positives or tables of two time zones;
    CheckRefused (exit 3) where more rows break an expectation than ``thresholds`` allow: report
    and Data Docs are then at ``refused`` (by default ``<out>.refused``; a caller whose folder goes
    with the failure names a place outside), and no ``out``.
    """
    out = Path(out)
    refused = out.with_name(f"{out.name}.refused") if refused is None else Path(refused)
    start = time.monotonic()
    with writing(out) as beside:
        beside.mkdir(parents=True)
        work = beside / "work"
        work.mkdir()
        with marks_at(work / "marks.duckdb", memory_mb) as marks:
            report = _examine(dataset, beside, marks, thresholds, now_s, known_items)
        report = dataclasses.replace(report, seconds=round(time.monotonic() - start, 3))
        write_json(beside / "report.json", report.to_json())
        shutil.rmtree(work)
        if report.failures:
            _keep_report(beside, refused)
            raise CheckRefused(_refusal(report, refused))
        if not known_items:
            require_targets(dataset, beside)
        files = {table: f"{table}.parquet" for table in report.tables}
        spec = dataclasses.replace(dataset.spec, files=files, columns={}, timestamp_unit="ms")
        write_spec(beside / FILE_NAME, spec)
    shutil.rmtree(refused, ignore_errors=True)
    return report


def _examine(
    dataset: Dataset,
    beside: Path,
    marks: Marks,
    thresholds: ChecksConfig,
    now_s: float,
    known_items: Sequence[Dataset],
) -> CheckReport:
    """Run every stage for every table; the good and the rejected rows are written as well."""
    work = beside / "work"
    tables = [table for table in TABLES if dataset.has(table)]
    for table in tables:
        marks.add_table(table, _canonical(dataset, table, work))
        _require_rows(dataset, table, marks)
        for column in (TIMESTAMP, ARRIVED_AT, CREATED_AT):
            if column in marks.columns(table):
                require_plausible_times(dataset, table, marks, column)
        require_right_types(dataset, table, marks)
    if not known_items:  # a day is served or appended, nothing learns from it alone
        require_one_zone(dataset, marks)
    _require_few_names(dataset, marks)
    rules = _mark(dataset, tables, marks, thresholds, now_s, known_items)
    results = {table: _results(table, marks, rules[table]) for table in tables}
    masks = {table: marks.masks(table) for table in tables}
    marks.close()
    broken = {table: [result.broken for result in results[table]] for table in tables}
    causes_first = sorted(tables, key=lambda table: table != ITEMS)  # bad items: unknown items
    verdicts = validate(marks.path, marks.settings, rules, broken, work)
    copy_offline(work, beside / "data_docs")
    return CheckReport(
        dataset=dataset.spec.name,
        fingerprint=dataset.fingerprint(),
        tables={t: _split(t, beside, rules[t], results[t], *masks[t]) for t in tables},
        expectations=tuple(r for t in causes_first for r in _judged(t, results[t], verdicts[t])),
        notes=dataset.spec.notes,
        seconds=0.0,
    )


def _canonical(dataset: Dataset, table: str, work: Path) -> Path:
    """Stream the table into canonical columns and types, in the order of the log."""
    file = work / f"{table}.parquet"
    try:
        require_ids_fit(dataset.root, table, dataset.spec)
        rows = scan_for_check(dataset.root, table, dataset.spec)
        rows.sink_parquet(file, maintain_order=True, compression="zstd")
    except pl.exceptions.PolarsError as error:
        if is_disk_full(error):
            raise
        raise unreadable(dataset.root / dataset.spec.files[table], error) from None
    return file


def _require_rows(dataset: Dataset, table: str, marks: Marks) -> None:
    if not marks.count(table):
        path = dataset.root / dataset.spec.files[table]
        leave_out = "" if table == ACTIONS else ", or leave the table out of `files`"
        raise DatasetError(f"{path} holds no rows; export the {table} again{leave_out}")


def _require_few_names(dataset: Dataset, marks: Marks) -> None:
    """Refuse at once what building the sequences would refuse: a name is kept as one byte."""
    require_codes("action types", ("", *dataset.spec.action_types))
    if SURFACE in marks.columns(ACTIONS):
        query = f"SELECT list(DISTINCT {SURFACE}) FROM {ACTIONS} WHERE {SURFACE} <> ''"
        require_codes("surfaces", ("", *sorted(marks.value(query) or ())))


def _mark(
    dataset: Dataset,
    tables: Sequence[str],
    marks: Marks,
    thresholds: ChecksConfig,
    now_s: float,
    known_items: Sequence[Dataset],
) -> dict[str, list[Rule]]:
    """Mark the rows of every table; items first, because only the good ones are known items."""
    known = _known(dataset, known_items, marks.path.parent)
    items_are_known, whole = bool(known) or ITEMS in tables, not known_items
    rules: dict[str, list[Rule]] = {}

    def mark(table: str) -> None:
        columns, now_ms = marks.columns(table), int(now_s * 1000)
        rules[table] = rules_for(
            *(table, dataset.spec, columns, thresholds, now_ms, items_are_known), whole=whole
        )
        marks.mark(table, rules[table])

    if ITEMS in tables:
        mark(ITEMS)
    if items_are_known:
        own = rejecting_bits(rules[ITEMS]) if ITEMS in tables else None
        marks.add_known_items(known, own)
    for table in tables:
        if table != ITEMS:
            mark(table)
    return rules


def _known(dataset: Dataset, others: Sequence[Dataset], work: Path) -> list[Path]:
    """Write the item ids of ``others`` to Parquet files, of the same type as the set's own."""
    files = []
    kind = _item_type(dataset, ACTIONS)
    for index, other in enumerate(o for o in others if o.has(ITEMS)):
        if _item_type(other, ITEMS) != kind:
            raise DatasetError(
                f"{dataset.root}: item_id is {kind} and in {other.root} it is "
                f"{_item_type(other, ITEMS)}; write it with one type"
            )
        files.append(work / f"known_{index}.parquet")
        other.scan(ITEMS).select(ITEM_ID).sink_parquet(files[-1])
    return files


def _item_type(dataset: Dataset, table: str) -> str:
    return str(dataset.scan(table).collect_schema()[ITEM_ID])


def _results(table: str, marks: Marks, rules: Sequence[Rule]) -> list[ExpectationResult]:
    """Counts and examples for every rule, not yet judged."""
    rows = marks.count(table)
    results = []
    for index, (rule, broken) in enumerate(zip(rules, marks.broken(table, rules), strict=True)):
        examples = marks.examples(table, marked_by(rules, index)) if broken else []
        results.append(
            ExpectationResult(
                table=table,
                name=rule.name,
                passed=broken <= rule.limit * rows,
                broken=broken,
                rows=rows,
                limit=rule.limit,
                reason=rule.reason,
                examples=tuple(examples),
            )
        )
    return results


def _judged(
    table: str, results: Sequence[ExpectationResult], verdicts: Sequence[Verdict]
) -> Iterator[ExpectationResult]:
    """Join Great Expectations' verdicts to our counts: either can fail an expectation."""
    not_empty, *others = verdicts
    rows = results[0].rows
    yield ExpectationResult(
        table=table,
        name="the table is not empty",
        passed=not_empty.passed,
        broken=0,
        rows=rows,
        limit=0.0,
        error=not_empty.error,
    )
    for result, verdict in zip(results, others, strict=True):
        passed = result.passed and verdict.passed
        yield dataclasses.replace(result, passed=passed, error=verdict.error)


def _split(
    table: str,
    beside: Path,
    rules: Sequence[Rule],
    results: Sequence[ExpectationResult],
    rows: np.ndarray,
    masks: np.ndarray,
) -> TableReport:
    """Write the good rows and the rejected ones. ``rows`` int64[n] are marked by ``masks``."""
    bad = (masks & rejecting_bits(rules)) != 0
    rejecting = [(1 << i, r.reason) for i, r in enumerate(rules) if r.rejects and not r.sums_up]
    reasons = {
        mask: ", ".join(reason for bit, reason in rejecting if mask & bit)
        for mask in np.unique(masks[bad]).tolist()
    }
    name = f"{table}.parquet"
    split_rows(
        beside / "work" / name,
        beside / name,
        beside / "rejected" / name,
        rows[bad],
        [reasons[mask] for mask in masks[bad].tolist()],
    )
    counts = {
        rule.reason: result.broken
        for rule, result in zip(rules, results, strict=True)
        if result.broken and rule.rejects and not rule.sums_up
    }
    return TableReport(read=results[0].rows, kept=results[0].rows - int(bad.sum()), rejected=counts)


def _keep_report(beside: Path, refused: Path) -> None:
    """Keep what explains a refusal: the report, the Data Docs and the rejected rows."""
    with writing(refused) as kept:
        kept.mkdir()
        for name in ("report.json", "data_docs", "rejected"):
            if (beside / name).exists():
                shutil.move(beside / name, kept / name)


def _refusal(report: CheckReport, refused: Path) -> str:
    first, *others = report.failures
    fail = "expectation fails" if len(others) == 1 else "expectations fail"
    more = f"; {len(others)} more {fail}" if others else ""
    return (
        f"data set `{report.dataset}` is refused: {first.sentence()}{more}; mend the rows or raise "
        f"the limit under `checks` in homefeed.yaml; report: {refused}/data_docs/index.html"
    )
