"""The synthetic world: people, items and a logging policy, all from one seed.

It ships with the code for use where there is no data and no network, and it answers a live
server as its users would. The truth lives in ``homefeed.data.world.truth``; models, features and
evaluation read the dataset that ``write_world`` makes and never the truth.
"""

from homefeed.data.world.config import WorldConfig, world_config
from homefeed.data.world.dataset import world_dataset
from homefeed.data.world.write import write_world, write_world_day

__all__ = ["WorldConfig", "world_config", "world_dataset", "write_world", "write_world_day"]
