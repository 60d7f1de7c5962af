"""``pytest tests/golden --update-golden`` writes the golden files anew; look at the diff."""

from collections.abc import Callable
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], str]:
    """Read a golden file by its place below this folder; with --update-golden write it first."""

    def read(place: str, found: str) -> str:
        path = Path(__file__).parent / place
        if request.config.getoption("--update-golden", default=False):
            path.parent.mkdir(exist_ok=True)
            path.write_text(found)
        return path.read_text()

    return read
