"""Check a data set, and build its sequence store."""

import dataclasses
from pathlib import Path

from homefeed.clock import WallClock
from homefeed.data.checks import check
from homefeed.data.contract import WORLD, Dataset, resolve
from homefeed.data.sequences import build_sequences
from homefeed.recipes import read_config, read_section
from homefeed.report.pieces_data import check_piece, sequences_piece

NOT_LIVE = (
    "`live: true` in a folder's dataset.yaml: taken as a recorded log, whose users answer no "
    "server; for those run `--data world`"
)


def open_dataset(data: str, world: str, workspace: Path) -> Dataset:
    """The data set that was asked for; ``world`` is made to the recipe's size.

    Only that one is live: a copy in a folder has no server started for it, and its users could
    be another recipe's, so it is a recorded log.
    """
    dataset = resolve(data, workspace, read_section("world", world))
    if data == WORLD or not dataset.spec.live:
        return dataset
    notes = (*dataset.spec.notes, NOT_LIVE)
    return Dataset(dataset.root, dataclasses.replace(dataset.spec, live=False, notes=notes))


def check_step(data: str, world: str, config: str, checked: Path, piece: Path) -> None:
    """Check ``data``; good rows at ``checked``. Raises CheckRefused above the thresholds."""
    settings = read_config(config)
    dataset = open_dataset(data, world, settings.workspace)
    # The world lives in a year of its own; for it, now is when its log ends.
    ends = dataset.spec.span[1] if dataset.spec.live and dataset.spec.span else WallClock().now_s()
    report = check(dataset, checked, settings.checks, ends)
    found = check_piece(report, checked)
    found.save(piece)
    for figure in found.figures:
        print(f"= {figure.name}: {figure.value}")
    for note in report.notes:
        print(f"= assumed: {note}")


def sequences_step(checked: Path, sequences: str, store: Path, piece: Path) -> None:
    """Build the sequence store of a checked data set at ``store``."""
    settings = read_section("sequences", sequences)
    built = build_sequences(Dataset.open(checked), store, memory_mb=settings.memory_mb)
    found = sequences_piece(built)
    found.save(piece)
    print(f"= {found.figures[0].value}")
    for figure in found.figures[1:]:
        print(f"= {figure.name}: {figure.value} {figure.note}")
