"""Ray Train's TorchTrainer, without the processes that a fit of ours has no use for.

Each is a Python that imports Ray, while the workers do the same: seconds of a short fit
(docs/lab_log.md).
"""

import os
from typing import Any

_DATASETS = "DatasetsCallback"  # deals out Ray's datasets: a fit reads its store itself
# Gives back what a dead controller held: a head of one run ends with that run.
_LEFT_PLACES = "PlacementGroupCleanerCallback"


def torch_trainer(train_loop: Any, **options: Any) -> Any:
    """A TorchTrainer of these options. Where Ray calls its parts otherwise, they run as usual."""
    from ray.train.torch import TorchTrainer

    unused = {_DATASETS} if "RAY_ADDRESS" in os.environ else {_DATASETS, _LEFT_PLACES}

    class Trainer(TorchTrainer):
        def _create_default_callbacks(self) -> list[Any]:
            usual = super()._create_default_callbacks()
            return [each for each in usual if type(each).__name__ not in unused]

    return Trainer(train_loop, **options)
