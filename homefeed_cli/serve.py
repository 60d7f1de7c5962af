"""``homefeed serve``: the two services over HTTP, until interrupted."""

import argparse
import time

from homefeed_cli.verb import Answer, Parsers, add_verb, config_of


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
    from homefeed.errors import ServerError
    from serving.run import start_server

    config = config_of(args)
    with start_server(
        config.workspace,
        config.serving.port,
        simulated_clock=args.simulated_clock,
        scorer=config.serving.scorer,
        host=config.serving.host,
        workers=args.workers,
        wait_for_release=False,
    ) as server:
        with server.client() as client:
            ready = client.ready()
        print(f"serving {config.workspace} at {server.url} (docs at {server.url}/docs)")
        print("ready" if ready.get("ready") else "waiting for a champion: promote a release")
        try:
            while server.running():
                time.sleep(0.5)
        except KeyboardInterrupt:
            return Answer({"url": server.url, "stopped": True}, "stopped")
        raise ServerError(f"the server ended by itself; its log: {server.log_path}")
