"""``homefeed data``: look at a data set, import one, check one."""

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homefeed.artifacts import fingerprint, hash_json, read_json, write_json, writing
from homefeed.clock import WallClock
from homefeed.errors import ArtifactError, CheckRefused, ConfigError
from homefeed.schema import ACTIONS, TIME_KNOWN
from homefeed_cli.verb import (
    Answer,
    Parsers,
    Run,
    add_group,
    add_verb,
    config_of,
    table,
    where_it_lies,
)
from homefeed_cli.waiting import waiting

if TYPE_CHECKING:
    from homefeed.data.contract import Dataset  # imports polars

MARKER = ".homefeed-output.json"  # what these verbs leave in a folder that they wrote


def add(parsers: Parsers) -> None:
    """Add the verbs of this group."""
    group = add_group(parsers, "data", "look at a data set, import one, check one")
    summary = "Show a data set's tables, columns and assumptions."
    _add(group, "show", show, summary, "my/folder")
    summary = "Bring public data, or a plain `user item` file, into the contract."
    verb = _add(group, "import", imported, summary, "ratings.txt --out ml-1m")
    out_help = "a new folder for it (default: below datasets/ in storage.root)"
    verb.add_argument("--out", type=Path, help=out_help)
    summary = "Check a data set; bad rows are set aside with reasons."
    verb = _add(group, "check", checked, summary, "my/folder")
    out_help = "a new folder for the good rows and the report (default: checked/ in storage.root)"
    verb.add_argument("--out", type=Path, help=out_help)


def _add(group: Parsers, name: str, run: Run, summary: str, example: str) -> Any:
    verb = add_verb(group, name, run, summary, f"homefeed data {name} {example}")
    verb.add_argument("data", help="world, a folder, or a sequence file")
    return verb


def _dataset(args: argparse.Namespace) -> "Dataset":
    from homefeed.data.contract import resolve

    return resolve(args.data, config_of(args).workspace)


def show(args: argparse.Namespace) -> Answer:
    """Show what is there."""
    with waiting(f"reading {args.data}", quiet=args.json):
        dataset = _dataset(args)
        rows = [_described(dataset, name) for name in dataset.spec.files]
    notes = "".join(f"\nassumed: {note}" for note in dataset.spec.notes)
    data = {"name": dataset.spec.name, "root": str(dataset.root), "tables": rows}
    text = f"{dataset.spec.name} at {dataset.root}\n{table(rows)}{notes}"
    return Answer({**data, "notes": dataset.spec.notes}, text)


def _described(dataset: "Dataset", name: str) -> dict[str, object]:
    """One table: its rows and columns. Raises DatasetError where its file cannot be read."""
    import polars as pl

    from homefeed.data.files import unreadable

    try:
        count = dataset.scan(name).select(pl.len()).collect().item()
    except pl.exceptions.PolarsError as error:
        raise unreadable(dataset.root / dataset.spec.files[name], error) from None
    return {"table": name, "rows": count, "columns": ", ".join(dataset.columns(name))}


def imported(args: argparse.Namespace) -> Answer:
    """Write a data set in the contract's form."""
    with waiting(f"importing {args.data}", quiet=args.json):
        import polars as pl

        dataset = _dataset(args)
        root = dataset.root
        if args.out is not None:
            _copy(dataset, args)
            root = args.out
        times = dataset.scan(ACTIONS).select(pl.col(TIME_KNOWN).any()).collect().item()
    notes = "".join(f"\nassumed: {note}" for note in dataset.spec.notes)
    verb = "run --data" if times else "data check"  # what has no times cannot be split in time
    text = f"{root}{notes}\nnext: homefeed {verb} {shlex.quote(str(root))}{where_it_lies(args)}"
    return Answer({"root": str(root), "notes": dataset.spec.notes}, text)


def _copy(dataset: "Dataset", args: argparse.Namespace) -> None:
    """Copy the data set's folder to --out, and mark the copy as one."""
    import shutil

    out = args.out.expanduser().resolve()
    _require_apart(out, args.data, dataset)
    if dataset.root.resolve() in out.parents:  # the copy would copy itself
        raise ConfigError(
            f"cannot write to {out}: it lies within the data that is copied ({dataset.root}); "
            "give a folder outside of it with --out"
        )
    _require_replaceable(out, "import")
    with writing(out) as beside:
        shutil.copytree(dataset.root, beside)
        beside.chmod(beside.stat().st_mode | 0o700)  # the copy of a read-only folder is read-only
        _mark(beside, "import")


def checked(args: argparse.Namespace) -> Answer:
    """Check; exit 3 where the thresholds refuse it."""
    with waiting(f"checking {args.data}", quiet=args.json):
        return _checked(args)


def _checked(args: argparse.Namespace) -> Answer:
    from homefeed.data.checks import check

    config = config_of(args)
    dataset = _dataset(args)
    shown = args.out or config.workspace / "checked" / dataset.spec.name
    out = shown.expanduser().resolve()
    refused = out.with_name(f"{out.name}.refused")  # where `check` keeps the report of a refusal
    for place in (out, refused):
        _require_apart(place, args.data, dataset)
        if args.out is not None:
            _require_replaceable(place, "check")
    now_s = dataset.spec.span[1] if dataset.spec.live and dataset.spec.span else WallClock().now_s()
    try:
        report = check(dataset, out, config.checks, now_s)
    except CheckRefused:
        _mark(refused, "check")
        raise
    _mark(out, "check")
    rows = [
        {"table": name, "read": t.read, "kept": t.kept, "set aside": t.read - t.kept, "why": t.why}
        for name, t in report.tables.items()
    ]
    text = f"{table(rows)}\n{shown}/data_docs/index.html{_too_small(out)}"
    return Answer({**report.to_json(), "out": str(shown)}, text)


def _too_small(checked_folder: Path) -> str:
    """What a run will refuse about good rows that are too few, told where it costs nothing."""
    import polars as pl

    from homefeed.clock import DAY_S
    from homefeed.data.contract import Dataset
    from homefeed.data.splits import SHORTEST_DAYS
    from homefeed.schema import TIMESTAMP, USER_ID

    actions = Dataset.open(checked_folder).scan(ACTIONS)
    time_ms = pl.col(TIMESTAMP).filter(pl.col(TIME_KNOWN))
    users, span_ms = (
        actions.select(pl.col(USER_ID).n_unique(), span=time_ms.max() - time_ms.min())
        .collect()
        .row(0)
    )
    found = []
    if users < 2:
        found.append(f"it has {users} user, and a run holds some users out")
    if span_ms is None:
        found.append("none of its times is known, and a run splits its data in time")
    elif (days := span_ms / 1000 / DAY_S) < SHORTEST_DAYS:
        found.append(
            f"its times span {days:.2f} days, and a run needs {SHORTEST_DAYS:.2f} or more "
            "(or sequences.ranker_days and sequences.evaluation_days set)"
        )
    return "".join(f"\ntoo small for a run: {reason}" for reason in found)


def _require_apart(out: Path, data: str, dataset: "Dataset") -> None:
    """Refuse a place whose replacement would take the data, or the shell's folder, with it."""
    from homefeed.data.contract import WORLD

    read = [dataset.root, *(dataset.root / file for file in dataset.spec.files.values())]
    if data != WORLD:
        read.insert(0, Path(data).expanduser())
    for path in (path.resolve() for path in read):
        if out == path or out in path.parents:
            raise ConfigError(
                f"cannot write to {out}: it is or holds the data that is read ({path}); "
                "give another folder with --out"
            )
    if out == Path.cwd() or out in Path.cwd().parents:
        raise ConfigError(
            f"cannot write to {out}: it is or holds the folder that you are in ({Path.cwd()}); "
            "give another folder with --out"
        )


def _require_replaceable(out: Path, verb: str) -> None:
    """Refuse a place where anything would be lost that this verb cannot write again."""
    if not out.exists():
        return
    if not out.is_dir():
        raise ConfigError(f"cannot write to {out}: it is a file; give a new folder with --out")
    found = sorted(path.name for path in out.iterdir())
    if found and not _is_unchanged_output(out, verb):
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise ConfigError(
            f"cannot write to {out}: it holds {found[0]!r}{more}, not just what `homefeed data "
            f"{verb}` wrote; give a new folder with --out, or empty this one"
        )


def _is_unchanged_output(folder: Path, verb: str) -> bool:
    """Whether the folder holds byte for byte what this verb wrote: a marker alone can be copied."""
    try:
        return read_json(folder / MARKER) == _marker(folder, verb)
    except (ArtifactError, ValueError):
        return False


def _mark(folder: Path, verb: str) -> None:
    write_json(folder / MARKER, _marker(folder, verb))


def _marker(folder: Path, verb: str) -> dict[str, str]:
    entries = sorted(path for path in folder.iterdir() if path.name != MARKER)
    names = [path.name for path in entries]
    return {
        "written_by": f"homefeed data {verb}",
        "contents": hash_json([names, fingerprint(*entries)]),
    }
