"""``homefeed config show``: each value of configuration and recipe, and where it came from."""

import argparse
import dataclasses

from homefeed.plain_values import flatten
from homefeed_cli.verb import (
    Answer,
    Parsers,
    add_group,
    add_verb,
    loaded_config,
    recipe_overrides,
    table,
)
from pipelines.names import DEFAULT_RECIPE


def add(parsers: Parsers) -> None:
    """Add the verbs of this group."""
    group = add_group(parsers, "config", "each value of the configuration and where it came from")
    verb = add_verb(
        group,
        "show",
        show,
        "Print every value of configuration and recipe, and where it came from.",
        "homefeed config show --profile cluster --set training.num_workers=8",
    )
    verb.add_argument("--recipe", default="", help="tiny, small or base (default: small)")


def show(args: argparse.Namespace) -> Answer:
    """Print every key, its value, and its origin: the configuration first, then the recipe."""
    loaded = loaded_config(args)
    values = flatten(dataclasses.asdict(loaded.config))
    rows = [
        {"key": key, "value": value, "from": loaded.origin[key]} for key, value in values.items()
    ]
    rows += _recipe_rows(args)
    return Answer({row["key"]: row for row in rows}, table(rows))


def _recipe_rows(args: argparse.Namespace) -> list[dict[str, object]]:
    from homefeed.plain_values import parse_assignment
    from homefeed.recipes import recipe

    overrides = recipe_overrides(args)
    values = flatten(dataclasses.asdict(recipe(args.recipe or DEFAULT_RECIPE, overrides)))
    name = values.pop("name")
    set_here = {key for text in overrides for key in flatten(parse_assignment(text))}
    rows = [{"key": "recipe", "value": name, "from": "--recipe" if args.recipe else "default"}]
    return rows + [
        {"key": key, "value": value, "from": "--set" if key in set_here else f"recipe {name}"}
        for key, value in values.items()
    ]
