"""What should be served now: the ledger's champion and the arms of the running tests."""

from pathlib import Path

from serving.catalog import Wanted
from serving.loading import open_ledger
from serving.served import RunningTest


def wanted(workspace: Path) -> Wanted:
    """Read the ledger and the tests' definitions. Raises ConfigError, BusyError, ArtifactError."""
    return Wanted(champion=open_ledger(workspace).state().champion, tests=running_tests(workspace))


def running_tests(workspace: Path) -> tuple[RunningTest, ...]:
    """The tests that are running, by name."""
    return ()
