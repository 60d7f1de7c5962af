"""``homefeed pipeline``: run, follow, compile and submit pipelines."""

import argparse
import dataclasses
from pathlib import Path

from homefeed.config import Config
from homefeed.errors import PipelineError, UsageError
from homefeed_cli.verb import (
    Answer,
    Parsers,
    add_group,
    add_verb,
    config_of,
    recipe_overrides,
    table,
)
from homefeed_cli.waiting import waiting

RUN_COLUMNS = ["run", "status", "started", "seconds", "failed step"]


def add(parsers: Parsers) -> None:
    """Add the verbs of this group."""
    group = add_group(parsers, "pipeline", "run, follow, compile and submit pipelines")
    example = "homefeed pipeline run embeddings --data my/folder --set user_encoder.steps=2000"
    run = add_verb(group, "run", run_here, "Run one pipeline on this machine.", example)
    _add_arguments(run)
    example = "homefeed pipeline list"
    add_verb(group, "list", list_all, "List the pipelines and the runs on this machine.", example)
    for name, function, summary in (
        ("status", status, "Show the steps of a run (the newest, if none is named)."),
        ("logs", logs, "Print the log of a run (the newest, if none is named)."),
    ):
        verb = add_verb(group, name, function, summary, f"homefeed pipeline {name}")
        verb.add_argument("run_id", nargs="?", default="", help="as `homefeed pipeline list` shows")
    summary = "Delete what old runs wrote for their own steps; records, logs and reports stay."
    verb = add_verb(group, "clean", clean, summary, "homefeed pipeline clean --keep 5")
    verb.add_argument(
        *("--keep",), type=_count, default=5, metavar="N", help="newest runs to leave whole (5)"
    )
    summary = "Compile a pipeline, or all, to versioned YAML."
    verb = add_verb(group, "compile", compiled, summary, "homefeed pipeline compile --out build/")
    verb.add_argument("name", nargs="?", help="one pipeline; all if left out")
    verb.add_argument(
        "--out",
        type=Path,
        default=Path("build/pipelines"),
        help="folder, or a file for one pipeline",
    )
    summary = "Upload a pipeline's present version to Kubeflow Pipelines."
    _add_name(add_verb(group, "upload", upload, summary, _on_a_cluster("upload")))
    for name, function, summary in (
        ("submit", submit, "Upload a pipeline and start one run on Kubeflow Pipelines."),
        ("schedule", schedule, "Upload a pipeline and run it at pipelines.daily_cron."),
    ):
        verb = add_verb(group, name, function, summary, _on_a_cluster(name))
        _add_arguments(verb, dated=name == "submit")


def _on_a_cluster(verb: str) -> str:
    return f"homefeed pipeline {verb} daily --profile cluster --set pipelines.host=http://HOST:8888"


def _add_name(verb: argparse.ArgumentParser) -> None:
    from pipelines.names import NAMES

    verb.add_argument("name", metavar="NAME", help=f"one of {', '.join(NAMES)}")


def _add_arguments(verb: argparse.ArgumentParser, *, dated: bool = True) -> None:
    """The name, and what a run is given; a pipeline refuses what it does not take.

    Not ``dated``: --date is taken for the error that says what to do instead, and not shown.
    """
    _add_name(verb)
    data_help = "world, a folder, or events: the event log (default: world; daily: events)"
    verb.add_argument("--data", default="", help=data_help)
    verb.add_argument(
        "--recipe", default="", help="tiny, small or base (default: small; not daily)"
    )
    date_help = "the day to run for, YYYY-MM-DD (daily only)" if dated else argparse.SUPPRESS
    verb.add_argument("--date", default="", help=date_help)


def run_here(args: argparse.Namespace) -> Answer:
    """Run one pipeline and show its steps as they go."""
    from homefeed_cli.follow import keep_report, run_and_show

    run = run_and_show(args.name, args.data, args.recipe, args.date, args)
    report = keep_report(run, config_of(args).workspace / "runs" / run.run_id)
    data = dataclasses.asdict(run) | ({"report": str(report)} if report else {})
    return Answer(data, f"report: {report}" if report else "", run.exit_code)


def list_all(args: argparse.Namespace) -> Answer:
    """List pipelines and runs; one whose record cannot be read is named, with what to do."""
    from pipelines.names import NAMES
    from pipelines.runs import BROKEN, list_runs

    runs = list_runs(config_of(args).workspace / "runs")
    rows = [
        {
            **{"run": r.run_id, "status": r.status, "started": r.started},
            **{"seconds": r.seconds, "failed step": r.failed_step},
            "problem": r.error if r.status == BROKEN else "",
        }
        for r in runs
    ]
    pipelines = "\n".join(f"  {name:11} {summary}" for name, summary in NAMES.items())
    shown = table(rows, RUN_COLUMNS)
    problems = "".join(
        f"\n{row['run']} is broken: {row['problem']}" for row in rows if row["problem"]
    )
    text = f"pipelines:\n{pipelines}\n\nruns on this machine:\n{shown}{problems}"
    return Answer({"pipelines": NAMES, "runs": rows}, text)


def status(args: argparse.Namespace) -> Answer:
    """Show one run's steps."""
    from pipelines.runs import load_run

    run = load_run(config_of(args).workspace / "runs", args.run_id)
    rows = [dataclasses.asdict(step) for step in run.steps]
    head = f"{run.run_id}: {run.status} after {run.seconds} s, code {run.code_version}"
    tail = f"\n{run.failed_step or 'the run'}: {run.error}" if run.error else ""
    return Answer(dataclasses.asdict(run), f"{head}\n{table(rows)}{tail}")


def logs(args: argparse.Namespace) -> Answer:
    """Print one run's log."""
    from pipelines.runs import load_run

    runs = config_of(args).workspace / "runs"
    run = load_run(runs, args.run_id)
    path = runs / run.run_id / "log.txt"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return Answer({"run_id": run.run_id, "path": str(path), "log": text}, text)


def clean(args: argparse.Namespace) -> Answer:
    """Delete old runs' artifacts, while no run is writing."""
    from pipelines.local import only_writer
    from pipelines.runs import clear_artifacts

    workspace = config_of(args).workspace
    with only_writer(workspace):
        cleared = [run.run_id for run in clear_artifacts(workspace / "runs", args.keep)]
    text = "\n".join(f"{run_id}: artifacts deleted" for run_id in cleared)
    return Answer({"cleared": cleared}, text or f"nothing to delete beyond the newest {args.keep}")


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of runs; give 0 or more")
    return int(text)


def compiled(args: argparse.Namespace) -> Answer:
    """Compile to YAML."""
    with waiting("compiling", quiet=args.json):
        return _compiled(args)


def _compiled(args: argparse.Namespace) -> Answer:
    from pipelines.compiled import compile_pipeline, is_package
    from pipelines.names import NAMES
    from pipelines.placement import Placement

    names = [args.name] if args.name else list(NAMES)
    if len(names) > 1 and is_package(args.out):
        raise PipelineError(
            f"--out {args.out} is one file, for {len(names)} pipelines; give a folder, or the name "
            "of one pipeline"
        )
    placement = Placement.of(config_of(args))
    paths = {name: str(compile_pipeline(name, args.out, placement)) for name in names}
    return Answer(paths, "\n".join(paths.values()))


def upload(args: argparse.Namespace) -> Answer:
    """Upload a version."""
    with waiting(f"uploading {args.name}", quiet=args.json):
        return _uploaded(args)


def _uploaded(args: argparse.Namespace) -> Answer:
    from pipelines.placement import Placement
    from pipelines.submit import upload as upload_version

    config = config_of(args)
    uploaded = upload_version(args.name, config.pipelines, Placement.of(config))
    text = f"{args.name}: version {uploaded.version_name} ({uploaded.version_id})"
    return Answer(dataclasses.asdict(uploaded), text)


def submit(args: argparse.Namespace) -> Answer:
    """Start a run on the cluster."""
    with waiting(f"submitting {args.name}", quiet=args.json):
        return _submitted(args)


def _submitted(args: argparse.Namespace) -> Answer:
    from pipelines.catalogue import arguments_for
    from pipelines.placement import Placement
    from pipelines.submit import submit as submit_run

    config = _cluster_config(args)
    arguments = arguments_for(
        args.name, config, args.data, args.recipe, args.date, recipe_overrides(args), cluster=True
    )
    run_id = submit_run(args.name, arguments, config.pipelines, Placement.of(config))
    return Answer({"run_id": run_id}, f"started {args.name} as run {run_id}")


def _cluster_config(args: argparse.Namespace) -> Config:
    """The configuration; UsageError where its runs would leave nothing behind on a cluster."""
    from pipelines.placement import CLUSTER

    config = config_of(args)
    if config.profile != CLUSTER:
        raise UsageError(
            f"the profile is {config.profile}: on Kubeflow Pipelines each step would write "
            f"{config.storage.root} to its own pod, and the next would find nothing; say "
            f"--profile {CLUSTER}"
        )
    return config


def schedule(args: argparse.Namespace) -> Answer:
    """Put a pipeline on its schedule. UsageError for a day: every run would repeat it."""
    if args.date:
        raise UsageError(
            f"pipeline schedule takes no --date {args.date}: every run would repeat that one day; "
            f"leave it out, or run the day once: homefeed pipeline submit daily --date {args.date}"
        )
    with waiting(f"scheduling {args.name}", quiet=args.json):
        return _scheduled(args)


def _scheduled(args: argparse.Namespace) -> Answer:
    from pipelines.catalogue import arguments_for
    from pipelines.placement import Placement
    from pipelines.submit import schedule as schedule_runs

    config = _cluster_config(args)
    arguments = arguments_for(
        args.name, config, args.data, args.recipe, "", recipe_overrides(args), cluster=True
    )
    job_id = schedule_runs(args.name, arguments, config.pipelines, Placement.of(config))
    text = f"{args.name} runs at '{config.pipelines.daily_cron}' as {job_id}"
    return Answer({"recurring_run_id": job_id, "cron": config.pipelines.daily_cron}, text)
