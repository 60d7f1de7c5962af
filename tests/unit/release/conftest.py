"""A registry of three releases."""

import pytest

from homefeed.release import ReleaseRegistry


@pytest.fixture
def three(registry, make_manifest) -> ReleaseRegistry:
    for name in ("first", "second", "third"):
        registry.register(make_manifest(name))
    return registry
