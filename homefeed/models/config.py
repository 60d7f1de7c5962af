"""The shapes of the networks: plain values, so that a recipe can be read without torch."""

from dataclasses import dataclass, field
from typing import Any

from homefeed.plain_values import below, between, one_of

PINNERFORMER, MEAN_RECENT = "pinnerformer", "mean_recent"  # kinds of user encoder
USER_ENCODERS = (PINNERFORMER, MEAN_RECENT)  # what a run fits: PinnerFormer, and the control
USER_VECTORS = (*USER_ENCODERS, "none")


@dataclass(frozen=True, kw_only=True)
class PinnerFormerConfig:
    """The network's shape. Published best: width 768, layers 6, heads 8, dim 256, length 256."""

    dim: int = 256  # D: of user and item vectors
    width: int = 256  # H: of the transformer
    layers: int = 2
    heads: int = 8
    history_length: int = 256  # M: newest actions that are read
    id_embedding_dim: int = 64  # of the learned item ids; 0 = content only, as in the paper
    type_embedding_dim: int = 16  # of action types and of surfaces
    item_hidden: int = 256  # of the item tower's MLP
    dropout: float = 0.1  # on tokens and on both branches of each block
    id_dropout: float = 0.0  # share of items that a step reads without their learned id
    history_mean: bool = False  # not published: add the mean of the history's item vectors

    def __post_init__(self) -> None:
        for name in ("dim", "width", "layers", "heads", "history_length", "type_embedding_dim"):
            between(name, getattr(self, name), 1)
        between("item_hidden", self.item_hidden, 1)
        between("id_embedding_dim", self.id_embedding_dim, 0)
        for name in ("dropout", "id_dropout"):
            below(name, getattr(self, name), 0, 1)
        if self.width % self.heads:
            raise ValueError(f"heads ({self.heads}) must divide width ({self.width})")
        if self.width % 4:
            raise ValueError(f"width ({self.width}) must be a multiple of 4 (keyed dropout)")


@dataclass(frozen=True, kw_only=True)
class TransActConfig:
    """The published configuration by default."""

    item_dim: int = 32  # of the candidate and of each action's item
    action_dim: int = 32  # of the action type's embedding
    layers: int = 2
    ffn_dim: int = 32
    first_k: int = 10  # newest rows that are read out as they are
    output_dim: int = 96  # after the read-out's linear layer
    dropout: float = 0.1

    def __post_init__(self) -> None:
        for name in ("item_dim", "action_dim", "layers", "ffn_dim", "first_k", "output_dim"):
            between(name, getattr(self, name), 1)
        below("dropout", self.dropout, 0, 1)

    @property
    def dim(self) -> int:
        """Width of a row of the encoder."""
        return 2 * self.item_dim + self.action_dim


@dataclass(frozen=True, kw_only=True)
class RankerConfig:
    """One ranker variant; ``variant`` makes the named ones."""

    name: str = "full"
    user_vector: str = "pinnerformer"  # whose user vector is read: one of USER_VECTORS
    sequence: bool = True  # whether TransAct reads the last actions
    item_ids: bool = True  # whether items also have learned id embeddings
    transact: TransActConfig = field(default_factory=TransActConfig)
    user_dim: int = 32  # the user vector is projected to this width
    surface_dim: int = 4
    cross_layers: int = 2
    hidden: tuple[int, ...] = (128, 64)
    dropout: float = 0.1  # of the MLP
    level_hidden: int = 32  # width of the user level's hidden layer

    def __post_init__(self) -> None:
        one_of("user_vector", self.user_vector, USER_VECTORS)
        for name in ("user_dim", "surface_dim", "level_hidden"):
            between(name, getattr(self, name), 1)
        between("cross_layers", self.cross_layers, 0)
        for width in self.hidden:
            between("hidden", width, 1)
        below("dropout", self.dropout, 0, 1)


def variant(name: str, **changes: Any) -> RankerConfig:
    """``full``, ``pinnerformer``, ``no_sequence``, ``control`` or ``no_vector``, with changes."""
    variants = {
        "full": {},
        "pinnerformer": {"sequence": False},
        "no_sequence": {"sequence": False},
        "control": {"user_vector": "mean_recent", "sequence": False},
        "no_vector": {"user_vector": "none"},
    }
    if name not in variants:
        raise ValueError(f"ranker variant ({name}) must be one of {', '.join(variants)}")
    return RankerConfig(**({"name": name} | variants[name] | changes))
