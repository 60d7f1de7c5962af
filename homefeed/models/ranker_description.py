"""What a fitted ranker is, as ``ranker.json`` says: plain values, read without torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homefeed.artifacts import read_json
from homefeed.errors import ArtifactError
from homefeed.models.config import RankerConfig, TransActConfig

RANKER_VERSION = 5
DESCRIPTION = "ranker.json"


@dataclass(frozen=True, kw_only=True)
class RankerInputs:
    """What the data fixes: the names and widths that a ranker is built for."""

    heads: tuple[str, ...]
    action_types: tuple[str, ...]  # [0] is padding
    surfaces: tuple[str, ...]  # [0] is padding
    stats: tuple[str, ...]
    item_count: int  # largest item index with a learned id
    vector_dim: int
    user_vector_dim: int  # 0 where the ranker reads none
    negative: tuple[str, ...]  # action types that the data declares a dislike


@dataclass(frozen=True, kw_only=True)
class RankerDescription:
    """``ranker.json`` as read back."""

    config: RankerConfig
    inputs: RankerInputs
    hash: str  # 16 hex over configuration, inputs, bindings and weights
    weights_hash: str  # 16 hex over the bytes of weights.pt
    bound_to: dict[str, Any]  # hashes of what it was trained with: encoders, vocabularies, set
    training: dict[str, Any]  # final losses, steps, seconds


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


def _tupled(values: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
