"""One tiny world for all tests of this folder."""

import pytest

from homefeed.data.contract import Dataset
from homefeed.data.world import WorldConfig, world_config, write_world
from homefeed.data.world.truth import World


@pytest.fixture(scope="session")
def config() -> WorldConfig:
    return world_config("tiny", users=250)


@pytest.fixture(scope="session")
def world(config: WorldConfig) -> World:
    return World(config)


@pytest.fixture(scope="session")
def dataset(config: WorldConfig, tmp_path_factory) -> Dataset:
    return write_world(tmp_path_factory.mktemp("world") / "log", config)
