"""Where ``DATA=world`` finds its data set: made once, kept under its configuration's hash."""

from dataclasses import asdict
from pathlib import Path

from homefeed.artifacts import hash_json
from homefeed.data.contract import Dataset
from homefeed.data.specification import FILE_NAME
from homefeed.data.world.config import WorldConfig, world_config
from homefeed.data.world.write import write_world


def world_dataset(workspace: Path, config: WorldConfig | None = None) -> Dataset:
    """The world of ``config`` (the small one by default) below ``workspace``, made once."""
    config = config or world_config()
    folder = Path(workspace) / "datasets" / f"world-{hash_json(asdict(config))}"
    if (folder / FILE_NAME).is_file():
        return Dataset.open(folder)
    return write_world(folder, config)
