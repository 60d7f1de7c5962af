"""What was published, and what of it is not served because newer rows were there before."""

from pathlib import Path
from typing import Any

from homefeed.artifacts import read_json
from homefeed.recipes import read_config
from homefeed.release.opened import forget_snapshots
from homefeed.report.piece import Figure, Piece, Table
from homefeed.steps.lineage import Day, day_in, forget_later, name_of, newest_day, remember

SHOWN = ("view", "users", "written", "kept_newer", "read_back")


def published_step(rows: list[dict[str, Any]], snapshots: Path, config: str, piece: Path) -> None:
    """Remember the day of a snapshots folder that was just published, and say what became of it.

    ``rows`` are the feature store's reports, a view each.
    """
    remember(snapshots, config)
    day, workspace = day_in(snapshots), read_config(config).workspace
    listed = read_json(snapshots / "snapshots.json")
    if goes_back := bool(listed.get("goes_back")):
        forget_later(workspace, day)  # or the next daily run would go on from an undone day
        for encoder_hash in {made["encoder_hash"] for made in listed["snapshots"]}:
            forget_snapshots(workspace, encoder_hash, after_s=day.as_of_s)  # or serve it
    figures = [] if goes_back else _warnings(rows, day, newest_day(workspace, day.log))
    table = Table(title="Online rows", rows=[{name: row[name] for name in SHOWN} for row in rows])
    Piece(title="Published features", figures=figures, tables=[table]).save(piece)
    written = sum(row["written"] for row in rows)
    compared = sum(row["read_back"] for row in rows)
    print(f"= {written:,} rows written, {compared:,} read back bit for bit")
    for figure in figures:
        print(f"= {figure.name}: {figure.value}; {figure.note}")


def _warnings(rows: list[dict[str, Any]], day: Day, newest: Day) -> list[Figure]:
    """One figure where users keep newer rows, or the log was published up to a later day."""
    most = max(rows, key=lambda row: row["kept_newer"])
    if not most["kept_newer"] and newest.as_of_s <= day.as_of_s:
        return []
    until = name_of(day.as_of_s)
    later = name_of(newest.as_of_s) if newest.as_of_s > day.as_of_s else "a later day"
    kept = f"{most['kept_newer']:,} of {most['users']:,} users keep newer rows than {until}"
    note = (
        f"`{day.log}` was published up to {later} before, and that is still served and what "
        "`daily` goes on from; if this is another or a shorter log, give it another `name` in "
        "dataset.yaml or another storage.root; if a day was repaired, run the days after it again"
    )
    return [Figure(name="WARNING", value=kept, note=note)]
