"""``homefeed promote``, ``rollback``, ``history``: who is champion, since when, and why."""

import argparse
import dataclasses
from datetime import UTC, datetime
from typing import Any

from homefeed_cli.retiring import with_features
from homefeed_cli.verb import Answer, Parsers, add_verb, config_of, table
from homefeed_cli.waiting import waiting

TWO_CLOCKS = """\
times: a run on `world` decides in the world's own time, you in the machine's; the rows are in
the order in which they were decided"""


def add(parsers: Parsers) -> None:
    """Add the three verbs."""
    example = 'homefeed promote 3 --reason "won the A/B test of May"'
    summary = "Make a release the champion; a running server follows within seconds."
    verb = add_verb(parsers, "promote", promote, summary, example)
    verb.add_argument("version", type=_version, help="release version (see homefeed history)")
    verb.add_argument("--reason", required=True, help="why; kept in the ledger")
    verb.add_argument(
        *("--expected-champion",),
        type=_version,
        help="refuse if another version is champion by now (compare-and-set)",
    )
    verb.add_argument(
        "--anyway", action="store_true", help="promote a release that the gate refused all the same"
    )
    summary = "Return to the previous champion, in one command, without a restart."
    example = 'homefeed rollback --reason "click rate fell"'
    verb = add_verb(parsers, "rollback", rollback, summary, example)
    verb.add_argument("--reason", required=True, help="why; kept in the ledger")
    summary = "Show which release was champion when, who decided, and why."
    verb = add_verb(parsers, "history", history, summary, "homefeed history --json")
    verb.add_argument("--at", help="who was champion at this time (ISO 8601)")


def _registry(args: argparse.Namespace) -> Any:
    from homefeed.release.registry import ReleaseRegistry

    config = config_of(args)
    return ReleaseRegistry(config.workspace, tracking_uri=config.tracking_uri)


def promote(args: argparse.Namespace) -> Answer:
    """Promote one version. Raises PromotionRefused (exit 3) for one that the gate refused."""
    options: dict[str, Any] = {}
    if args.expected_champion is not None:
        options["expected_champion"] = args.expected_champion
    with waiting(f"promoting release {args.version}", quiet=args.json):
        registry = _registry(args)
        before = registry.state()  # now: to publish takes seconds, in which others may promote
        reason = _gated(registry, args.version, args.reason, anyway=args.anyway)
        with with_features(config_of(args), [args.version]):
            entry = registry.promote(args.version, reason, before=before, **options)
    return Answer(dataclasses.asdict(entry), f"release {args.version} is the champion")


def _version(text: str) -> int:
    """A release version, as argparse asks for one."""
    version = int(text)
    if not 0 < version < 2**63:
        raise argparse.ArgumentTypeError(f"no release has the version {text}; see homefeed history")
    return version


_version.__name__ = "int"  # what argparse says that the text is not


def _gated(registry: Any, version: int, reason: str, *, anyway: bool) -> str:
    """The reason for the ledger, which says so where the gate's last word was a refusal.

    Raises PromotionRefused for that, unless ``anyway``. What no gate has judged is not refused.
    """
    from homefeed.errors import PromotionRefused

    refusal = registry.refusal(version)
    if refusal is None or version == registry.champion() or not reason.strip():
        return reason  # of the last two the registry tells what is wrong
    if not anyway:
        raise PromotionRefused(
            f"the gate refused release {version} (ledger entry {refusal.seq}): {refusal.reason}; "
            "to promote it nevertheless, add --anyway"
        )
    return f"{reason.strip()} (promoted anyway; the gate had refused it: {refusal.reason})"


def rollback(args: argparse.Namespace) -> Answer:
    """Return to the previous champion."""
    with waiting("rolling back", quiet=args.json):
        registry = _registry(args)
        before = registry.state()
        target = [] if before.previous is None else [before.previous]
        with with_features(config_of(args), target, must=False):  # nothing stops a rollback
            entry = registry.rollback(args.reason, before=before)
    return Answer(dataclasses.asdict(entry), f"release {registry.champion()} is the champion again")


def history(args: argparse.Namespace) -> Answer:
    """Show the ledger."""
    registry = _registry(args)
    if args.at:
        at_s = _moment(args.at)
        version = registry.champion_at(at_s)
        return Answer({"at_s": at_s, "champion": version}, f"champion at {args.at}: {version}")
    entries = registry.history()
    rows = [
        {
            "when": datetime.fromtimestamp(e.at_s, UTC).strftime("%Y-%m-%d %H:%M:%S"),
            **{"action": str(e.action), "release": e.to_version, "from": e.from_version or ""},
            **{"who": e.who, "why": e.reason},
        }
        for e in entries
    ]
    text = table(rows) if rows else "no releases yet; make one with `homefeed run`"
    if any(e.run and _is_of_a_world(registry, e.to_version) for e in entries):
        text += f"\n{TWO_CLOCKS}"
    return Answer([dataclasses.asdict(e) for e in entries], text)


def _is_of_a_world(registry: Any, version: int | None) -> bool:
    from homefeed.data.contract import WORLD
    from homefeed.errors import ReleaseError

    try:
        return version is not None and registry.ledger.manifest(version).dataset.startswith(
            f"{WORLD} "
        )
    except ReleaseError:  # of a schema that this program does not read
        return False


def _moment(text: str) -> float:
    from homefeed.errors import ConfigError

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--at needs a time such as 2025-03-01T12:00, found {text!r}") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
