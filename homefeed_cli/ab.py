"""``homefeed ab``: A/B tests: start, status, analyze, stop."""

import argparse
import dataclasses
import math
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homefeed.clock import WallClock
from homefeed.schema import EVENT_LOG_FILE
from homefeed_cli.retiring import with_features
from homefeed_cli.verb import Answer, Parsers, add_group, add_verb, config_of, table
from homefeed_cli.waiting import waiting

if TYPE_CHECKING:
    from homefeed.abtest.analysis import Analysis  # imports NumPy

STATUS_COLUMNS = ["test", "status", "arm", "release", "users", "requests"]


def add(parsers: Parsers) -> None:
    """Add the verbs of this group."""
    group = add_group(parsers, "ab", "A/B tests: start, status, analyze, stop")
    summary = "Start a test from its YAML definition; waits until serving reports its arms ready."
    verb = add_verb(group, "start", start, summary, "homefeed ab start tests/realtime.yaml")
    verb.add_argument("definition", type=Path, help="see docs/pipelines/abtest.md")
    verb.add_argument("--no-wait", action="store_true", help="do not wait for a server")
    verb.add_argument(
        *("--timeout",),
        type=_wait,
        default=120.0,
        metavar="S",
        help="seconds to wait for a server (120); after them the test is stopped",
    )
    summary = "Show all tests and how many users each arm has by now."
    add_verb(group, "status", status, summary, "homefeed ab status --json")
    summary = "Lift per metric with its interval, sample-ratio check, verdict."
    example = "homefeed ab analyze realtime --promote"
    verb = add_verb(group, "analyze", analyze_test, summary, example)
    verb.add_argument("name", help="as `homefeed ab status` shows")
    verb.add_argument("--interim", action="store_true", help="before the planned end: never ships")
    verb.add_argument(
        "--promote", action="store_true", help="carry the verdict out: stop, promote on ship"
    )
    verb = add_verb(
        *(group, "stop", stop),
        "Stop a test; its users go back to the champion.",
        'homefeed ab stop realtime --reason "guardrail"',
    )
    verb.add_argument("name", help="as `homefeed ab status` shows")
    verb.add_argument("--reason", required=True, help="why; kept beside the definition")


def _wait(text: str) -> float:
    """Seconds that argparse asks for."""
    value = float(text)
    if not 0 <= value < math.inf:  # nor a NaN, which no time reaches
        raise argparse.ArgumentTypeError(f"{text} is no time to wait; give seconds, 0 or more")
    return value


_wait.__name__ = "float"  # what argparse says that the text is not


def start(args: argparse.Namespace) -> Answer:
    """Check the arms' releases and what is counted, write the definition, wait for the server."""
    from homefeed.abtest.definition import read_definition, require_known_actions
    from homefeed.abtest.running import full_tests_before, start_test
    from homefeed.abtest.starting import start_and_wait
    from homefeed.release.registry import ReleaseRegistry
    from pipelines.serving_url import serving_url

    config = config_of(args)
    definition = read_definition(args.definition)
    with waiting(f"verifying the releases of {definition.name}", quiet=args.json):
        registry = ReleaseRegistry(config.workspace, tracking_uri=config.tracking_uri)
        releases = [registry.open(arm.release) for arm in definition.arms.values()]
    require_known_actions(definition, {t for release in releases for t in release.action_types})
    began = {"at_s": WallClock().now_s(), "champion": registry.champion()}
    with with_features(config, [arm.release for arm in definition.arms.values()]):
        if args.no_wait:
            state = start_test(config.workspace, definition, **began)
        else:
            url = serving_url(config)
            awaited = f"waiting for the server at {url} to report the arms of {definition.name}"
            with waiting(awaited, quiet=args.json):
                state = start_and_wait(
                    config.workspace, definition, url, **began, timeout_s=args.timeout
                )
    if older := full_tests_before(config.workspace, definition.name):
        print(
            f"homefeed: warning: nobody is left for {definition.name!r}: {', '.join(older)} ran "
            "before it with traffic 1, and one test decides for a user; stop that test, or wait "
            "until it ends",
            file=sys.stderr,
        )
    arms = ", ".join(f"{name} = release {arm.release}" for name, arm in definition.arms.items())
    return Answer(dataclasses.asdict(state), f"{definition.name} runs: {arms}")


def status(args: argparse.Namespace) -> Answer:
    """All tests of the workspace; one that cannot be read is named, and the others are shown."""
    from homefeed.abtest.running import names_of_tests
    from homefeed.errors import HomefeedError

    workspace = config_of(args).workspace
    rows: list[dict[str, Any]] = []
    for name in names_of_tests(workspace):
        try:
            rows += _arms(workspace, name)
        except (HomefeedError, OSError) as error:
            unread = dict.fromkeys(("arm", "release", "users", "requests"))
            rows.append({"test": name, "status": "broken", **unread, "problem": str(error)})
    problems = [f"{row['test']} is broken: {row['problem']}" for row in rows if row["problem"]]
    shown = table([row for row in rows if not row["problem"]], STATUS_COLUMNS)
    text = "\n".join([shown, *problems])
    return Answer(rows, text if rows else "no A/B tests yet; homefeed ab start --help")


def _arms(workspace: Path, name: str) -> list[dict[str, Any]]:
    """One row per arm of a test. Raises ConfigError, ArtifactError for one that is broken."""
    from homefeed.abtest.exposure import exposed
    from homefeed.abtest.running import definition_of, state_of

    state, definition = state_of(workspace, name), definition_of(workspace, name)
    log, rows = workspace / EVENT_LOG_FILE, []
    counts = exposed(log, name) if log.exists() else {}
    for arm, described in definition.arms.items():
        users, requests = counts.get(arm, (0, 0))
        rows.append(
            {
                **{"test": name, "status": state.status, "arm": arm},
                **{"release": described.release, "users": users, "requests": requests},
                "problem": "",
            }
        )
    return rows


def analyze_test(args: argparse.Namespace) -> Answer:
    """Analyse one test; with --promote also carry its verdict out."""
    from homefeed.errors import ConfigError

    if args.interim and args.promote:
        raise ConfigError(
            "--interim only looks, --promote ends the test: give one of them; a test that does "
            'harm ends with `homefeed ab stop NAME --reason "…"`'
        )
    with waiting(f"analysing {args.name}", quiet=args.json):
        return _analyzed(args)


def _analyzed(args: argparse.Namespace) -> Answer:
    from homefeed.abtest.analysis import analyze
    from homefeed.abtest.exposure import outcomes, read_log
    from homefeed.abtest.running import definition_of, state_of
    from homefeed.abtest.verdict import decide

    config = config_of(args)
    definition = definition_of(config.workspace, args.name)
    state = state_of(config.workspace, args.name)
    logged = read_log(config.workspace / EVENT_LOG_FILE, args.name)
    found = outcomes(definition, *logged, ended_s=state.stopped_s)
    analysis = analyze(definition, found)
    verdict = decide(definition, analysis, interim=args.interim)
    said = _carry_out(config, definition, verdict, state.champion) if args.promote else ""
    rows = [
        {"metric": c.metric, "arm": c.arm, "lift": str(c), "users": c.users}
        for c in (*analysis.primary, *analysis.guardrails)
    ]
    reasons = "\n".join(f"  {reason}" for reason in verdict.reasons)
    split = _split(analysis)
    text = f"{table(rows)}\n{split}\nverdict: {verdict.decision}\n{reasons}\n{said}".rstrip()
    data = {"analysis": dataclasses.asdict(analysis), "verdict": dataclasses.asdict(verdict)}
    return Answer({**data, "carried_out": said}, text)


def _split(analysis: "Analysis") -> str:
    """The sample-ratio check: whether users were split as planned, so that a lift is believed."""
    ratio = analysis.sample_ratio
    users = ", ".join(
        f"{arm} {n:,} users ({ratio.expected[arm]:,.1f} planned)" for arm, n in ratio.users.items()
    )
    found = "mismatch" if ratio.mismatch else "as planned"
    crossed = f"users seen in two arms: {analysis.crossed_users:,}"
    return f"sample ratio: {found} (p = {ratio.p_value:.3g}): {users}; {crossed}"


def _carry_out(config: Any, definition: Any, verdict: Any, champion: int | None) -> str:
    from homefeed.abtest.exposure import end_of_test_s
    from homefeed.abtest.verdict import verdict_json
    from homefeed.release.registry import ReleaseRegistry
    from homefeed.steps.abtests import carry_out

    written = verdict_json(verdict, definition, kind="live A/B test", live=True, champion=champion)
    registry = ReleaseRegistry(config.workspace, tracking_uri=config.tracking_uri)
    ended_s = end_of_test_s(config.workspace / EVENT_LOG_FILE, definition.name, WallClock().now_s())
    return carry_out(registry, config.workspace, written, {}, ended_s)


def stop(args: argparse.Namespace) -> Answer:
    """End a test without a verdict."""
    from homefeed.abtest.exposure import end_of_test_s
    from homefeed.abtest.running import STOPPED, state_of, stop_test

    workspace = config_of(args).workspace
    was = state_of(workspace, args.name).status
    at_s = end_of_test_s(workspace / EVENT_LOG_FILE, args.name, WallClock().now_s())
    state = stop_test(workspace, args.name, at_s=at_s, reason=args.reason)
    text = f"{args.name} is stopped; its users see the champion"
    if state.stopped_s is not None and was == STOPPED:
        when = datetime.fromtimestamp(state.stopped_s, UTC).strftime("%Y-%m-%d %H:%M:%S")
        text = f"{args.name} was stopped already at {when}: {state.reason}"
    return Answer(dataclasses.asdict(state), text)
