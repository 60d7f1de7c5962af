"""What every verb of the command line is made of."""

import argparse
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from homefeed.config import Config, Loaded, load_config
from homefeed.errors import ConfigError, UsageError
from homefeed.plain_values import suggestion
from pipelines.names import DEFAULT_RECIPE

Parsers = Any  # argparse keeps the type of its sub-parsers private


WIDEST = 60  # characters of a table's column


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, with a suggestion for a mistyped verb."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError: what is wrong, and where to read on."""
        if match := re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message):
            known = re.findall(r"[\w-]+", match[2])
            message = f"there is no {match[1]!r}{suggestion(match[1], known)}"
        raise UsageError(f"{message}; see `{self.prog} --help`")


@dataclass
class Answer:
    """What a verb says: ``data`` under --json, ``text`` otherwise; and the exit code."""

    data: Any = field(default_factory=dict)
    text: str = ""
    exit_code: int = 0


Run = Callable[[argparse.Namespace], Answer]


def add_verb(parsers: Parsers, name: str, run: Run, summary: str, example: str) -> Any:
    """Add one verb with its summary, its example, and the options that all verbs share."""
    parser = parsers.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")
    parser.add_argument("--config", type=Path, help="configuration file (default: homefeed.yaml)")
    parser.add_argument("--profile", help="profile: local (default) or cluster")
    parser.add_argument(
        *("--set", "-s"),
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="override one value; may be given several times",
    )
    parser.set_defaults(run=run)
    return parser


def add_group(parsers: Parsers, name: str, summary: str) -> Parsers:
    """Add a group of verbs, such as ``homefeed pipeline``."""
    group = parsers.add_parser(name, help=summary, description=summary)
    return group.add_subparsers(dest=f"{name}_verb", required=True, metavar="VERB", title="verbs")


def loaded_config(args: argparse.Namespace) -> Loaded:
    """The configuration for these arguments, recipe keys left out once they are known to be some.

    Raises ConfigError for a wrong key or value of either, also where the verb computes nothing.
    """
    if not args.overrides:
        return load_config(args.config, args.profile)
    from homefeed.recipes import is_recipe_key  # imports torch

    _require_some_recipe(getattr(args, "recipe", ""), recipe_overrides(args))
    mine = tuple(text for text in args.overrides if not is_recipe_key(text))
    return load_config(args.config, args.profile, mine)


def _require_some_recipe(name: str, overrides: tuple[str, ...]) -> None:
    """Raise ConfigError where no recipe, or not the named one, can be changed so."""
    from homefeed.recipes import RECIPES, recipe

    found: list[ConfigError] = []
    for each in [name] if name else sorted(RECIPES, key=DEFAULT_RECIPE.__ne__):
        try:
            recipe(each, overrides)
            return
        except ConfigError as error:
            found.append(error)
    raise found[0]


def config_of(args: argparse.Namespace) -> Config:
    """The configuration for these arguments."""
    return loaded_config(args).config


def recipe_overrides(args: argparse.Namespace) -> tuple[str, ...]:
    """The ``--set`` texts that speak of the recipe."""
    from homefeed.recipes import is_recipe_key

    return tuple(text for text in args.overrides if is_recipe_key(text))


def where_it_lies(args: argparse.Namespace) -> str:
    """The options of this call that say which workspace it works in, to be typed again."""
    options = []
    if args.config:
        options += ["--config", str(args.config)]
    if args.profile:
        options += ["--profile", args.profile]
    for text in args.overrides:
        if text.startswith("storage."):
            options += ["--set", text]
    return "".join(f" {shlex.quote(option)}" for option in options)


def table(rows: list[dict[str, Any]], columns: list[str] | None = None) -> str:
    """A plain table with aligned columns; long texts are whole in the last column only."""
    if not rows:
        return "(nothing)"
    names = columns or list(rows[0])
    lines = [names]
    for row in rows:
        *cells, last = (_cell(row.get(name, "")) for name in names)
        lines.append([*(shortened(cell) for cell in cells), last])
    widths = [max(len(line[i]) for line in lines) for i in range(len(names))]
    widths[-1] = min(widths[-1], WIDEST)
    rule = ["-" * width for width in widths]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
        for line in (names, rule, *lines[1:])
    )


def shortened(text: str) -> str:
    """At most ``WIDEST`` characters of a text."""
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
