"""Checkpoints by step: everything that a fit needs to go on as if it had never stopped.

Sampling, negatives and dropout are keyed by step, so no random state is kept: weights, optimiser,
sketches and the step number are all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from homefeed.artifacts import writing
from homefeed.errors import ArtifactError

FILE = "checkpoint.pt"
# How a fit tells its metrics, and the folder of the checkpoint that rank 0 wrote with them, if one.
Report = Callable[[dict[str, float], Path | None], None]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The state after ``step`` steps."""

    step: int
    config_hash: str  # of the configuration and its inputs: another one must not resume from it
    state: dict[str, Any]  # tensors and containers of them


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write ``folder/checkpoint.pt``, atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    with writing(folder / FILE) as beside:
        torch.save(vars(checkpoint), beside)


def load_checkpoint(folder: Path, *, config_hash: str) -> Checkpoint:
    """Read a checkpoint; ArtifactError where it is missing, broken, or of another fit."""
    path = folder / FILE
    try:
        found = Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist; train without resuming") from None
    except Exception as error:
        raise ArtifactError(f"{path} is not a checkpoint ({error}); remove it") from error
    if found.config_hash != config_hash:
        raise ArtifactError(
            f"{path} belongs to another fit (hash {found.config_hash}, this one is {config_hash}); "
            "remove it, or train under another run name"
        )
    return found
