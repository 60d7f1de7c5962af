"""``homefeed serve``: the two services over HTTP, until interrupted."""

import argparse
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from homefeed.config import Loaded
from homefeed.errors import HomefeedError, UsageError
from homefeed_cli.verb import Answer, Parsers, add_verb, loaded_config
from homefeed_cli.waiting import waiting

if TYPE_CHECKING:
    from serving.run import ServerHandle
    from serving.settings import Settings

# Key of the configuration → field of the server's settings.
_FIELDS = {
    "serving.poll_s": "poll_s",
    "serving.feature_budget_ms": "features_budget_ms",
    "serving.scorer_threads": "scorer_threads",
    "serving.scorer_device": "scorer_device",
    "serving.scorer_precision": "scorer_precision",
    "storage.online_store": "online_store",
    "storage.redis": "redis",
    "storage.feast_registry": "feast_registry",
}


def add(parsers: Parsers) -> None:
    """Add the verb."""
    summary = "Run the two services: feed, rank, actions, explain, health, metrics, docs."
    verb = add_verb(parsers, "serve", serve, summary, "homefeed serve --set serving.port=3000")
    verb.add_argument(
        "--simulated-clock",
        action="store_true",
        help="let a request carry its own time (`at`): for `world` and replays of past logs",
    )
    verb.add_argument("--workers", type=int, default=1, help="processes of the CPU service")


def serve(args: argparse.Namespace) -> Answer:
    """Start, say where, and stay until interrupted or until the server ends."""
    from serving.run import start_server

    if args.workers < 1:
        raise UsageError(f"--workers is {args.workers}; give 1 or more")
    loaded = loaded_config(args)
    config, settings = loaded.config, server_settings(loaded)
    with ExitStack() as stack:
        with waiting("starting the two services", quiet=args.json):
            server = start_server(
                config.workspace,
                config.serving.port,
                simulated_clock=args.simulated_clock or settings.simulated_clock,
                scorer=config.serving.scorer,
                host=config.serving.host,
                workers=args.workers,
                settings=settings,
                wait_for_release=False,
            )
            stack.enter_context(server)  # before anything can interrupt: it is stopped at the end
        return stay(server, config.workspace, as_json=args.json)


def stay(server: "ServerHandle", workspace: Path, *, as_json: bool) -> Answer:
    """Say where a started server is, and wait until it is interrupted.

    Raises ServerError where it ends by itself.
    """
    from homefeed.errors import ServerError

    def say(*lines: str) -> None:
        # Under --json, standard output is for the one document at the end.
        print(*lines, sep="\n", file=sys.stderr if as_json else sys.stdout, flush=True)

    say(f"serving {workspace} at {server.url} (docs at {server.url}/docs)")
    is_ready = _is_ready(server)
    say("ready" if is_ready else "loading the champion; where there is none, promote a release")
    try:
        while server.running():
            if not is_ready and (is_ready := _is_ready(server)):
                say("ready")
            time.sleep(0.5)
    except KeyboardInterrupt:
        return Answer({"url": server.url, "stopped": True}, "stopped")
    raise ServerError(f"the server ended by itself; its log: {server.log_path}")


def _is_ready(server: "ServerHandle") -> bool:
    try:
        with server.client() as client:
            return bool(client.ready().get("ready"))
    except HomefeedError:  # it is ending: what watches it says so
        return False


def server_settings(loaded: Loaded, environment: Mapping[str, str] | None = None) -> "Settings":
    """The server's settings: what the configuration gives, else ``HOMEFEED_*``, else defaults.

    A key that nobody set does not hide a variable. Raises ConfigError for a variable's bad value.
    """
    from serving.settings import Settings

    given = {
        field: getattr(getattr(loaded.config, key.split(".")[0]), key.split(".")[1])
        for key, field in _FIELDS.items()
        if loaded.origin[key] != "default"
    }
    return replace(Settings.from_env(environment), **given)
