"""A fitted ranker on disk: ``ranker.json`` (what it is) and ``weights.pt`` (its parameters)."""

import dataclasses
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from homefeed.artifacts import fingerprint, hash_json, read_json, write_json, writing
from homefeed.errors import ArtifactError
from homefeed.models.config import RankerConfig, TransActConfig
from homefeed.models.ranker import Ranker, RankerInputs

RANKER_VERSION = 5
DESCRIPTION, WEIGHTS = "ranker.json", "weights.pt"


@dataclass(frozen=True, kw_only=True)
class RankerDescription:
    """``ranker.json`` as read back."""

    config: RankerConfig
    inputs: RankerInputs
    hash: str  # 16 hex over configuration, inputs, bindings and weights
    weights_hash: str  # 16 hex over the bytes of weights.pt
    bound_to: dict[str, Any]  # hashes of what it was trained with: encoders, vocabularies, set
    training: dict[str, Any]  # final losses, steps, seconds


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


def describe_ranker(path: Path) -> RankerDescription:
    """Read ``ranker.json``; ArtifactError where it is missing, broken or of another version."""
    values = read_json(Path(path) / DESCRIPTION)
    if values.get("version") != RANKER_VERSION:
        raise ArtifactError(
            f"{path}: ranker of version {values.get('version')}, this code reads "
            f"{RANKER_VERSION}; train it again"
        )
    try:
        config = _tupled(values["config"])
        config["transact"] = TransActConfig(**config["transact"])
        return RankerDescription(
            config=RankerConfig(**config),
            inputs=RankerInputs(**_tupled(values["inputs"])),
            hash=values["hash"],
            weights_hash=values["weights_hash"],
            bound_to=values["bound_to"],
            training=values["training"],
        )
    except (KeyError, TypeError) as error:
        raise ArtifactError(
            f"{Path(path) / DESCRIPTION} is incomplete ({error}); train it again"
        ) from None


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


def _tupled(values: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
