"""``homefeed run``: the whole lifecycle, once, on a data set."""

import argparse
import dataclasses
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from homefeed.clock import DAY_S, WallClock
from homefeed.config import Config
from homefeed.errors import ServerError
from homefeed.schema import EVENT_LOG_FILE
from homefeed_cli.features import as_typed
from homefeed_cli.verb import (
    Answer,
    Parsers,
    add_verb,
    config_of,
    loaded_config,
    recipe_overrides,
    where_it_lies,
)
from pipelines.names import DEFAULT_RECIPE

if TYPE_CHECKING:
    from serving.run import ServerHandle

NEXT = """\
next:
  homefeed history{place}
      who is champion, since when, and why
  homefeed features get{at}{place} {user}
      what the champion reads online for one user
  homefeed serve{simulated}{place}
      the same services, for you to ask"""
FRESH_S = 2 * DAY_S  # after it, vectors of the log's last day count as missing on the wall clock


def add(parsers: Parsers) -> None:
    """Add the verb."""
    summary = "Run the whole lifecycle once: raw actions to a promoted ranker, with a report."
    verb = add_verb(parsers, "run", run, summary, "homefeed run --data ../shared/data/deskdrop")
    verb.add_argument("--data", default="world", help="world, or a folder (default: world)")
    verb.add_argument("--recipe", default="", help="tiny, small or base (default: small)")


def run(args: argparse.Namespace) -> Answer:
    """Run the lifecycle with its services beside it; end with the summary and what to try."""
    from homefeed.artifacts import read_json
    from homefeed.recipes import recipe
    from homefeed_cli.follow import keep_report, output_of, run_and_show
    from pipelines.local import only_writer

    # A wrong name is told before all else.
    recipe(args.recipe or DEFAULT_RECIPE, recipe_overrides(args))
    config, place = config_of(args), where_it_lies(args)
    # Held before the services are touched: another run may be using theirs.
    with only_writer(config.workspace), _services(config, args) as overrides:
        args.overrides = [*args.overrides, *overrides]
        finished = run_and_show("lifecycle", args.data, args.recipe, "", args)
    data = dataclasses.asdict(finished)
    if finished.status != "succeeded":
        return Answer(data, "", finished.exit_code)
    config = config_of(args)
    folder = config.workspace / "runs" / finished.run_id
    summary = read_json(output_of(folder, "write-report", "summary"))
    report = keep_report(finished, folder)
    text = f"\n{summary['summary']}\n\nreport: {report}"
    text += f"\n{_next(config.workspace, place)}"
    minutes, seconds = divmod(round(finished.seconds), 60)
    text += f"\n\ndone in {minutes} min {seconds} s"
    return Answer({**data, "summary": summary["figures"], "report": str(report)}, text)


@contextmanager
def _services(config: Config, args: argparse.Namespace) -> Iterator[list[str]]:
    """Both services in the background, where the data can answer a live server (`world`)."""
    if args.data != "world":
        yield []
        return
    from homefeed_cli.serve import server_settings
    from serving.in_use import require_unserved
    from serving.ports import free_port
    from serving.run import launch_server

    require_unserved(config.workspace)
    _set_events_aside(config.workspace)
    port = free_port(config.serving.host, config.serving.port)
    if not args.json:
        print(f"starting the two services at port {port}", file=sys.stderr)
    server = launch_server(
        config.workspace,
        port,
        simulated_clock=True,
        scorer=config.serving.scorer,
        host=config.serving.host,
        settings=server_settings(loaded_config(args)),
    )
    with server, _watched(server):
        yield [f"serving.port={port}"]


@contextmanager
def _watched(server: "ServerHandle") -> Iterator[None]:
    """Services that cannot start end what runs beside them, as an interrupt does, with their error.

    They start beside the first steps, which need none.
    """
    failed: list[ServerError] = []
    over = threading.Event()

    def wait() -> None:
        try:
            server.wait(for_release=False)
        except ServerError as error:
            if not over.is_set():  # else it was stopped while it started
                failed.append(error)
                os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=wait, name="services", daemon=True).start()
    try:
        yield
    except KeyboardInterrupt:
        if failed:
            raise failed[0] from None
        raise
    finally:
        over.set()


def _set_events_aside(workspace: Path) -> None:
    """A run on `world` goes back to the end of its log: what was served after it was another run.

    The event log is kept under the time of its last change.
    """
    log = workspace / EVENT_LOG_FILE
    if not log.exists():
        return
    changed = datetime.fromtimestamp(log.stat().st_mtime, UTC)
    for file in workspace.glob(f"{EVENT_LOG_FILE}*"):  # with its write-ahead files
        name = file.name.replace(EVENT_LOG_FILE, f"events-{changed:%Y%m%d-%H%M%S}.db")
        file.rename(workspace / name)


def _next(workspace: Path, place: str) -> str:
    """Three commands to try, at the time at which the log ends unless that is now."""
    from homefeed.data.sequences import SequenceStore
    from homefeed.steps.lineage import champions_log, newest_day

    day = newest_day(workspace, champions_log(workspace))
    user = SequenceStore.open(Path(day.store)).users.ids([1])[0]
    is_past = day.as_of_s + FRESH_S < WallClock().now_s()
    return NEXT.format(
        user=as_typed(user),
        at=f" --at {day.as_of_s + 3600}" if is_past else "",
        simulated=" --simulated-clock" if is_past else "",
        place=place,
    )
