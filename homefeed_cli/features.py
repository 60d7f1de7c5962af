"""``homefeed features``: what an arm reads online for one user, and what nobody reads any more."""

import argparse
import re
import shlex
from typing import Any

from homefeed_cli.online_text import online_text
from homefeed_cli.verb import Answer, Parsers, add_group, add_verb, config_of
from homefeed_cli.waiting import waiting

ARM_HELP = "arm of a running A/B test, TEST/ARM where several have it; else the champion"
LATEST_S = 1e11  # the year 5138


def add(parsers: Parsers) -> None:
    """Add the verbs of this group."""
    group = add_group(parsers, "features", "what the online store holds")
    summary = "Print what an arm (or the champion) reads online for one user."
    verb = add_verb(group, "get", get, summary, "homefeed features get 1042 --arm realtime")
    verb.add_argument("user", help="user id, as in your log")
    verb.add_argument("--arm", default="", metavar="ARM", help=ARM_HELP)
    verb.add_argument("--text-id", action="store_true", help="the id is text though it looks whole")
    verb.add_argument("--at", type=seconds, help="as of this time (seconds), for simulated clocks")
    summary = (
        "Remove the vectors of encoders that no live release (champion, previous, challenger, "
        "arm of a running test) serves; a later promotion publishes them again."
    )
    verb = add_verb(group, "retire", retire, summary, "homefeed features retire --dry-run")
    verb.add_argument("--dry-run", action="store_true", help="say what would go, remove nothing")


def seconds(text: str) -> float:
    """A time of the command line: seconds since 1970."""
    value = float(text)
    if not 0 <= value < LATEST_S:  # nor a NaN
        hint = "; are these milliseconds?" if value >= LATEST_S else ""
        raise argparse.ArgumentTypeError(f"{text} is no time; give seconds since 1970{hint}")
    return value


def as_typed(user: int | str) -> str:
    """A user id as the command line takes it: the inverse of ``as_in_the_log``."""
    text = shlex.quote(str(user))
    if isinstance(user, int):
        return text
    text = f"-- {text}" if text.startswith("-") else text  # else it reads as an option
    return f"--text-id {text}" if as_in_the_log(user, is_text=False) != user else text


def as_in_the_log(written: str, *, is_text: bool) -> int | str:
    """The id that a word of the command line means: ``42`` is a number, ``007`` is a text."""
    whole = re.fullmatch(r"0|-?[1-9][0-9]{0,18}", written) and not is_text
    return int(written) if whole else written


def get(args: argparse.Namespace) -> Answer:
    """Read one user's features through the release's feature service."""
    with waiting(f"reading the features of user {args.user}", quiet=args.json):
        return _found(args)


def retire(args: argparse.Namespace) -> Answer:
    """Remove what no live release reads, while no run of this machine is writing."""
    from homefeed_cli.retiring import retired
    from pipelines.local import only_writer

    config = config_of(args)
    with waiting("looking for encoders that nobody serves", quiet=args.json):
        if args.dry_run:
            return retired(config, dry_run=True)
        with only_writer(config.workspace):
            return retired(config, dry_run=False)


def _found(args: argparse.Namespace) -> Answer:
    from feature_repo.publish import feature_store
    from homefeed.data.vocabulary import typed_id
    from homefeed.errors import UnknownIdError
    from homefeed.release.registry import ReleaseRegistry

    config = config_of(args)
    registry = ReleaseRegistry(config.workspace, tracking_uri=config.tracking_uri)
    version = _version(config, registry, args.arm)
    release = registry.open(version)
    user = typed_id(as_in_the_log(args.user, is_text=args.text_id))
    found = feature_store(config).describe_online(user, release.feature_service, args.at)
    if not _anything(found):
        raise UnknownIdError(
            f"no features for user {args.user!r} in {release.feature_service}; ids are as in your "
            "log (--text-id for text that looks like a number)"
        )
    data = {"release": version, "release_hash": release.release_hash, "arm": args.arm, **found}
    return Answer(data, online_text(data))


def _version(config: Any, registry: Any, arm: str) -> int:
    from homefeed.abtest.running import running_definitions
    from homefeed.errors import ReleaseError, UsageError

    running = running_definitions(config.workspace)
    meant = {
        f"{test.name}/{name}": described.release
        for test in running.definitions
        for name, described in test.arms.items()
        if arm in (name, f"{test.name}/{name}")
    }
    if len(meant) > 1:
        raise UsageError(
            f"{len(meant)} running A/B tests have an arm {arm!r}; give --arm {' or '.join(meant)}"
        )
    if meant:
        return next(iter(meant.values()))
    if arm:
        told = "".join(f" ({problem})" for problem in running.problems)
        raise ReleaseError(
            f"no running A/B test has an arm {arm!r}; see `homefeed ab status`{told}"
        )
    champion = registry.champion()
    if champion is None:
        raise ReleaseError("there is no champion yet; make one with `homefeed run`")
    return champion


def _anything(found: dict[str, Any]) -> bool:
    return any(found[part]["as_of_s"] is not None for part in ("vector", "sequence"))
