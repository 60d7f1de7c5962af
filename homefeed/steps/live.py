"""Which releases are live, as what, and with which user encoders.

Two ask. `daily` refreshes what it can: a broken release keeps its snapshots, and the others' users
are served meanwhile. Who deletes what nobody serves must be sure: in doubt nothing goes.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from homefeed.abtest.running import running_definitions
from homefeed.config import Config
from homefeed.errors import ArtifactError, HomefeedError, PipelineError
from homefeed.release.registry import ReleaseRegistry


@dataclass(frozen=True, kw_only=True)
class LiveReleases:
    """The releases that somebody is served, or may be within one command."""

    roles: dict[int, tuple[str, ...]]  # version → as what, ascending by version
    problems: tuple[str, ...]  # tests that should run and cannot be read


def live_releases(registry: ReleaseRegistry) -> LiveReleases:
    """Champion, previous, challenger, and the arms of the running tests, of whatever log.

    Raises PipelineError where there is none.
    """
    state = registry.state()
    running = running_definitions(registry.workspace)
    found: dict[int, list[str]] = defaultdict(list)
    for role in ("champion", "previous", "challenger"):
        if version := getattr(state, role):
            found[version].append(role)
    for test in running.definitions:
        for arm, described in test.arms.items():
            found[described.release].append(f"arm {arm} of test {test.name}")
    if not found:
        raise PipelineError("no release is live; run `homefeed run` or `homefeed promote` first")
    roles = {version: tuple(found[version]) for version in sorted(found)}
    return LiveReleases(roles=roles, problems=running.problems)


def live_encoders(config: Config, log: str) -> dict[str, Path]:
    """Hash → folder of every encoder of ``log`` that a champion, a challenger or a test serves.

    One that cannot be opened is told and left out: the champion's users are served meanwhile. Of
    the champion it is the error that it is (ReleaseError, ArtifactError).
    """
    registry = ReleaseRegistry(config.workspace, tracking_uri=config.tracking_uri)
    live = live_releases(registry)
    for problem in live.problems:  # nobody is served its arms until it is mended
        print(f"= its arms get no snapshot: {problem}")
    champion = registry.champion()
    encoders = {}
    for version in live.roles:
        try:
            if registry.ledger.manifest(version).dataset == log:  # first: others are not opened
                release = registry.open(version)
                encoders[release.encoder_hash] = release.user_encoder_path
        except (HomefeedError, OSError) as error:
            if version == champion:
                raise
            print(f"= keeps its snapshots: release {version}: {error}")
    return encoders


def served_encoders(config: Config) -> dict[str, list[str]]:
    """Hash → why it is live ("release 3, champion"), of every live encoder of every log.

    The ledger names a release's encoder, so one whose parts are broken is kept all the same. What
    leaves a doubt raises: a test that cannot be read may serve any release, and instead of a broken
    champion another release is about to be promoted (ArtifactError, ReleaseError, PipelineError).
    """
    registry = ReleaseRegistry(config.workspace, tracking_uri=config.tracking_uri)
    live = live_releases(registry)
    if live.problems:
        raise ArtifactError(f"nobody knows which releases a broken test serves: {live.problems[0]}")
    reasons: dict[str, list[str]] = defaultdict(list)
    for version, roles in live.roles.items():
        manifest = registry.ledger.manifest(version)
        if "champion" in roles:
            registry.open(version)
        reasons[manifest.user_encoder.hash].append(f"release {version}, {' and '.join(roles)}")
    return dict(reasons)


def judged_encoders(config: Config) -> set[str]:
    """Encoders with a release that the ledger has an entry about: promoted, tested, refused.

    Of the others a run that is under way may not have decided yet.
    """
    registry = ReleaseRegistry(config.workspace, tracking_uri=config.tracking_uri)
    found = set()
    for version in {entry.to_version for entry in registry.history() if entry.to_version}:
        try:
            found.add(registry.ledger.manifest(version).user_encoder.hash)
        except HomefeedError:
            continue  # of a schema that this program does not read
    return found
