"""``homefeed config show``: each value and where it came from."""

import argparse
import dataclasses

from homefeed.config import flatten
from homefeed_cli.verb import Answer, Parsers, add_group, add_verb, loaded_config, table


def add(parsers: Parsers) -> None:
    """Add the verbs of this group."""
    group = add_group(parsers, "config", "each value of the configuration and where it came from")
    add_verb(
        group,
        "show",
        show,
        "Print every value of the configuration and where it came from.",
        "homefeed config show --profile cluster --set training.num_workers=8",
    )


def show(args: argparse.Namespace) -> Answer:
    """Print every key, its value, and its origin."""
    loaded = loaded_config(args)
    values = flatten(dataclasses.asdict(loaded.config))
    rows = [
        {"key": key, "value": value, "from": loaded.origin[key]} for key, value in values.items()
    ]
    return Answer({row["key"]: row for row in rows}, table(rows))
