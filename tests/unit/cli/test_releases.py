"""``homefeed history`` as a person reads it."""

from pathlib import Path
from typing import Any

import pytest

from homefeed.release import ReleaseRegistry


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Where the command line looks."""
    return tmp_path / ".homefeed"


@pytest.mark.parametrize(
    ("dataset", "run", "two"),
    [("world 1a2b3c4d", "lifecycle-1", True), ("world 1a2b3c4d", "", False), ("shop", "r", False)],
)
def test_history_tells_the_worlds_clock_from_the_machines(
    homefeed: Any, registry: ReleaseRegistry, make_manifest: Any, dataset: str, run: str, two: bool
) -> None:
    registry.run = run
    registry.register(make_manifest(dataset=dataset))
    registry.promote(1, "the first")
    assert ("in the world's own time" in homefeed("history").out) is two
