"""``homefeed data``: look at a data set, import one, check one."""

import argparse
import dataclasses
import time
from pathlib import Path
from typing import Any

from homefeed_cli.verb import Answer, Parsers, add_group, add_verb, config_of, table


def add(parsers: Parsers) -> None:
    """Add the verbs of this group."""
    group = add_group(parsers, "data", "look at a data set, import one, check one")
    for name, run, summary in (
        ("show", show, "Show a data set's tables, columns and assumptions."),
        ("import", imported, "Bring public data, or a plain `user item` file, into the contract."),
        ("check", checked, "Check a data set; bad rows are set aside with reasons."),
    ):
        verb = add_verb(group, name, run, summary, f"homefeed data {name} ../my/folder")
        verb.add_argument("data", help="world, a folder, or a sequence file")
        if name != "show":
            verb.add_argument("--out", type=Path, help="where to write it")


def _dataset(args: argparse.Namespace) -> Any:
    from homefeed.data.contract import resolve

    return resolve(args.data, config_of(args).workspace)


def show(args: argparse.Namespace) -> Answer:
    """Show what is there."""
    import polars as pl

    dataset = _dataset(args)
    rows = []
    for name in dataset.spec.files:
        count = dataset.scan(name).select(pl.len()).collect().item()
        rows.append({"table": name, "rows": count, "columns": ", ".join(dataset.columns(name))})
    notes = "".join(f"\nassumed: {note}" for note in dataset.spec.notes)
    data = {"name": dataset.spec.name, "root": str(dataset.root), "tables": rows}
    text = f"{dataset.spec.name} at {dataset.root}\n{table(rows)}{notes}"
    return Answer({**data, "notes": dataset.spec.notes}, text)


def imported(args: argparse.Namespace) -> Answer:
    """Write a data set in the contract's form."""
    import shutil

    from homefeed.artifacts import writing

    dataset = _dataset(args)
    root = dataset.root
    if args.out is not None:
        with writing(args.out) as beside:
            shutil.copytree(root, beside)
        root = args.out
    notes = "".join(f"\nassumed: {note}" for note in dataset.spec.notes)
    text = f"{root}{notes}\nnext: homefeed run --data {root}"
    return Answer({"root": str(root), "notes": dataset.spec.notes}, text)


def checked(args: argparse.Namespace) -> Answer:
    """Check; exit 3 where the thresholds refuse it."""
    from homefeed.data.checks import CheckThresholds, check

    config = config_of(args)
    dataset = _dataset(args)
    out = args.out or config.workspace / "checked" / dataset.spec.name
    thresholds = CheckThresholds(**dataclasses.asdict(config.checks))
    now_s = dataset.spec.span[1] if dataset.spec.live and dataset.spec.span else time.time()
    report = check(dataset, out, thresholds, now_s)
    rows = [
        {"table": name, "read": t.read, "kept": t.kept, "set aside": t.read - t.kept}
        for name, t in report.tables.items()
    ]
    text = f"{table(rows)}\n{out}/data_docs/index.html"
    return Answer({**report.to_json(), "out": str(out)}, text)
