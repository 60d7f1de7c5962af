"""A compiled pipeline is written whole, or not at all."""

import resource
from pathlib import Path

import pytest

from homefeed.errors import StorageError
from pipelines.compiled import compile_pipeline


def test_a_compilation_that_breaks_off_leaves_nothing_beside_its_target(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))  # as a full disk: a write is refused
    try:
        with pytest.raises(StorageError, match="File too large"):
            compile_pipeline("daily", tmp_path / "daily.yaml")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
