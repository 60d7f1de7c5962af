from collections.abc import Callable

import pytest

from homefeed.abtest.definition import Definition, parse_definition


@pytest.fixture
def define() -> Callable[..., Definition]:
    """A test of two arms, with changes."""

    def make(**changes) -> Definition:
        values = {
            "name": "t",
            "arms": {"control": {"release": 1}, "new": {"release": 2}},
            "primary": {"name": "clicks", "actions": ["click"]},
            "guardrails": [
                {"name": "hides", "actions": ["hide"], "per": "request", "direction": "down"}
            ],
        }
        return parse_definition(values | changes)

    return make
