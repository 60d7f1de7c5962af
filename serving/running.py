"""What should be served now: the ledger's champion and the arms of the running tests."""

from functools import partial
from pathlib import Path

from homefeed.abtest.assignment import arm_of
from homefeed.abtest.definition import Definition
from homefeed.abtest.running import running_definitions
from serving.catalog import Wanted
from serving.loading import open_ledger
from serving.served import RunningTest


def wanted(workspace: Path) -> Wanted:
    """Read the ledger and the tests' definitions. Raises BusyError, ArtifactError.

    A test that cannot be read is a problem to tell, not a reason to serve no other.
    """
    champion = open_ledger(workspace).state().champion
    running = running_definitions(workspace)
    tests = tuple(map(_test, running.definitions))
    return Wanted(champion=champion, tests=tests, problems=running.problems)


def _test(definition: Definition) -> RunningTest:
    return RunningTest(
        name=definition.name,
        arms={name: arm.release for name, arm in definition.arms.items()},
        arm_of=partial(arm_of, definition),
        definition_hash=definition.hash,
    )
