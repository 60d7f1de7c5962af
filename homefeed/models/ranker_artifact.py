"""A fitted ranker on disk: ``ranker.json`` (what it is) and ``weights.pt`` (its parameters)."""

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import torch

from homefeed.artifacts import fingerprint, hash_json, write_json, writing
from homefeed.errors import ArtifactError
from homefeed.models.ranker import Ranker
from homefeed.models.ranker_description import DESCRIPTION, RANKER_VERSION, describe_ranker

WEIGHTS = "weights.pt"


def save_ranker(
    ranker: Ranker, out: Path, *, bound_to: dict[str, Any], training: dict[str, Any]
) -> str:
    """Write a ranker folder at ``out``, atomically; returns its hash."""
    with writing(out) as beside:
        beside.mkdir(parents=True)
        torch.save(ranker.state_dict(), beside / WEIGHTS)
        values = {
            "version": RANKER_VERSION,
            "config": dataclasses.asdict(ranker.config),
            "inputs": dataclasses.asdict(ranker.inputs),
            "bound_to": bound_to,
            "training": training,
        }
        write_json(beside / DESCRIPTION, values)
        values["weights_hash"] = fingerprint(beside / WEIGHTS)
        values["hash"] = hash_json(
            [values[k] for k in ("config", "inputs", "bound_to", "weights_hash")]
        )
        write_json(beside / DESCRIPTION, values)
    return values["hash"]


def load_ranker(path: Path) -> Ranker:
    """A ranker in evaluation mode, without item tables: call ``bind`` before use.

    Raises ArtifactError where the folder is missing or its weights are truncated or another's.
    """
    description = describe_ranker(path)
    weights = Path(path) / WEIGHTS
    if fingerprint(weights) != description.weights_hash:
        raise ArtifactError(f"{weights} is not what ranker.json describes; train it again")
    ranker = Ranker(description.config, description.inputs)
    try:
        ranker.load_state_dict(torch.load(weights, weights_only=True, map_location="cpu"))
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise ArtifactError(f"{weights} cannot be read ({error}); train it again") from None
    return ranker.eval()
