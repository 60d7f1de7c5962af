"""User encoders behind one interface: PinnerFormer, and the mean of recent items.

A saved encoder is a folder: encoder.json (kind, configuration, what it was made from, hash),
weights.pt and item_inputs.npy. The hash covers the weights themselves, so a folder that was
altered is refused.

Shapes: B users, L history length, D dim, I items (row 0 is padding).
"""

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from homefeed.artifacts import hash_json, read_json, write_json, writing
from homefeed.errors import ArtifactError
from homefeed.models.config import MEAN_RECENT, PINNERFORMER, PinnerFormerConfig
from homefeed.models.history import HistoryBatch, pack
from homefeed.models.pinnerformer import PinnerFormer
from homefeed.schema import USER_ENCODER_VERSION

DESCRIPTION, WEIGHTS, ITEM_INPUTS = "encoder.json", "weights.pt", "item_inputs.npy"
_ITEMS_AT_ONCE = 65_536


@dataclass(frozen=True, kw_only=True)
class EncoderOrigin:
    """What an encoder was made from: its readers compare it with what they hold."""

    items_hash: str  # of the item vocabulary
    item_encoder_hash: str  # of the frozen item vectors; "" without any
    trained_before_s: int  # nothing later was looked at
    action_types: tuple[str, ...]  # by code, [0] = padding
    surfaces: tuple[str, ...]
    # Of a mean_recent from before it read the flag. In every hash: goes with the next version.
    positive_types: tuple[int, ...] = ()
    code_version: str = ""


class UserEncoder(Protocol):
    """What embedding, serving and evaluation need of any user encoder."""

    kind: str
    dim: int
    hash: str
    history_length: int
    origin: EncoderOrigin

    def embed(self, batch: HistoryBatch) -> Tensor:
        """Users' vectors float32 [B, D] of length one; zeros for an empty history."""
        ...

    def item_vectors(self) -> np.ndarray:
        """Items' vectors in the same space, float32 [I+1, D] of length one; row 0 zeros."""
        ...


@dataclass(frozen=True, kw_only=True)
class PinnerFormerEncoder:
    """A trained PinnerFormer."""

    network: PinnerFormer
    origin: EncoderOrigin
    device: str = "cpu"
    kind: str = PINNERFORMER
    hash: str = field(init=False)

    def __post_init__(self) -> None:
        self.network.to(self.device).eval()
        object.__setattr__(self, "hash", _hash(self._described(), self._tensors()))

    @property
    def dim(self) -> int:
        """Width of user and item vectors."""
        return self.network.config.dim

    @property
    def history_length(self) -> int:
        """Newest actions that are read."""
        return self.network.config.history_length

    @torch.inference_mode()
    def embed(self, batch: HistoryBatch) -> Tensor:
        """Vectors [B, D] on the CPU. Longer histories than it reads are cut to their newest."""
        out = torch.zeros(len(batch.length), self.dim)
        histories, row = pack(newest(batch, self.history_length))
        if len(row):
            histories = histories.to(self.device)
            out[row] = self.network(histories, histories.last_token()).cpu()
        return out

    @torch.inference_mode()
    def item_vectors(self) -> np.ndarray:
        """Item vectors [I+1, D]; row 0 zeros."""
        items = torch.arange(self.network.items.num_rows, device=self.device)
        parts = [self.network.embed_items(part).cpu() for part in items.split(_ITEMS_AT_ONCE)]
        vectors = torch.cat(parts).numpy()
        vectors[0] = 0
        return vectors

    def save(self, folder: Path) -> None:
        """Write the folder, atomically."""
        _save(folder, self._described() | {"hash": self.hash}, self._tensors())

    def _described(self) -> dict[str, Any]:
        return _description(self.kind, asdict(self.network.config), self.origin)

    def _tensors(self) -> dict[str, Tensor]:
        state = {k: v.cpu() for k, v in self.network.state_dict().items()}
        return state | {"items.frozen": self.network.items.frozen.cpu()}


@dataclass(frozen=True, kw_only=True)
class MeanRecentEncoder:
    """The mean of the item vectors of a user's last ``recent`` positive actions: the control.

    items float32 [I+1, D] come from an item encoder. Positives are those of the contract, with its
    least durations and its surfaces: the store's flag, as for targets and cases. One that was saved
    with the origin's positive types goes on counting those, as the rankers on it were trained.
    """

    items: np.ndarray
    origin: EncoderOrigin
    recent: int = 10
    history_length: int = 100
    kind: str = MEAN_RECENT
    hash: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hash", _hash(self._described(), self._tensors()))

    @property
    def dim(self) -> int:
        """Width of user and item vectors."""
        return self.items.shape[1]

    def embed(self, batch: HistoryBatch) -> Tensor:
        """Vectors [B, D]; zeros for users without a positive on an item that has a vector."""
        batch = newest(batch, self.history_length)
        vectors = torch.from_numpy(self.items)
        item = batch.item.where(batch.item < len(vectors), 0)
        counted = self._positive(batch) & (item > 0)
        # How many counted actions are at least as new: the last ``recent`` of them stay.
        newer = counted.flip(1).cumsum(1).flip(1)
        kept = (counted & (newer <= self.recent)).float()
        return F.normalize(torch.einsum("bl,bld->bd", kept, vectors[item]), dim=-1)

    def _positive(self, batch: HistoryBatch) -> Tensor:
        if self.origin.positive_types:
            return torch.isin(batch.action, torch.tensor(self.origin.positive_types))
        return batch.positive

    def item_vectors(self) -> np.ndarray:
        """Item vectors [I+1, D], of length one where they are not zero."""
        return F.normalize(torch.from_numpy(self.items), dim=-1).numpy()

    def save(self, folder: Path) -> None:
        """Write the folder, atomically."""
        _save(folder, self._described() | {"hash": self.hash}, self._tensors())

    def _described(self) -> dict[str, Any]:
        config = {"recent": self.recent, "history_length": self.history_length}
        return _description(self.kind, config, self.origin)

    def _tensors(self) -> dict[str, Tensor]:
        return {"items.frozen": torch.from_numpy(self.items)}


def newest(batch: HistoryBatch, count: int) -> HistoryBatch:
    """The same histories, cut to their newest ``count`` actions."""
    if batch.item.shape[1] <= count:
        return batch
    length = batch.length.clamp(max=count)
    place = torch.arange(count, device=length.device)
    source = (batch.length - length)[:, None] + place  # (B, count)
    inside = place < length[:, None]
    source = source.where(inside, 0)

    def cut(column: Tensor) -> Tensor:
        return column.gather(1, source).masked_fill(~inside, 0)

    columns = ("item", "action", "surface", "time_s", "duration", "time_known", "positive")
    return HistoryBatch(**{c: cut(getattr(batch, c)) for c in columns}, length=length)


def load_user_encoder(folder: Path, *, device: str = "cpu") -> UserEncoder:
    """Load any saved encoder; ArtifactError where it is missing, altered, or of another version."""
    folder = Path(folder)
    described = read_json(folder / DESCRIPTION)
    if described.get("version") != USER_ENCODER_VERSION:
        raise ArtifactError(
            f"user encoder {folder} has version {described.get('version')}, this code reads "
            f"version {USER_ENCODER_VERSION}; train it again"
        )
    try:
        origin = EncoderOrigin(**_tuples(described["origin"]))
        config, kind = described["config"], described["kind"]
        frozen = np.load(folder / ITEM_INPUTS)
        if kind == MEAN_RECENT:
            encoder = MeanRecentEncoder(items=frozen, origin=origin, **config)
        elif kind == PINNERFORMER:
            network = _network(config, origin, torch.from_numpy(frozen))
            network.load_state_dict(torch.load(folder / WEIGHTS, weights_only=True))
            encoder = PinnerFormerEncoder(network=network, origin=origin, device=device)
        else:
            raise ArtifactError(f"user encoder {folder} is of unknown kind {kind!r}")
    except ArtifactError:
        raise
    except Exception as error:
        raise ArtifactError(
            f"user encoder {folder} cannot be read ({error}); train again"
        ) from None
    if encoder.hash != described.get("hash"):
        raise ArtifactError(
            f"user encoder {folder} has hash {encoder.hash}, its description says "
            f"{described.get('hash')}; train it again"
        )
    return encoder


def _network(config: dict, origin: EncoderOrigin, frozen: Tensor) -> PinnerFormer:
    return PinnerFormer(
        PinnerFormerConfig(**config),
        frozen,
        torch.ones(len(frozen), dtype=torch.bool),  # which ids are known is in the weights
        num_actions=len(origin.action_types),
        num_surfaces=len(origin.surfaces),
    )


def _description(kind: str, config: dict, origin: EncoderOrigin) -> dict[str, Any]:
    return {
        "kind": kind,
        "version": USER_ENCODER_VERSION,
        "config": config,
        "origin": asdict(origin),
    }


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}


def _hash(described: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    digest = hashlib.blake2b(hash_json(described).encode(), digest_size=8)
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(str(tuple(tensors[name].shape)).encode())
        digest.update(np.ascontiguousarray(tensors[name].numpy()))
    return digest.hexdigest()


def _save(folder: Path, described: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    with writing(Path(folder)) as beside:
        beside.mkdir()
        np.save(beside / ITEM_INPUTS, tensors["items.frozen"].numpy())
        weights = {k: v for k, v in tensors.items() if k != "items.frozen"}
        if weights:
            torch.save(weights, beside / WEIGHTS)
        write_json(beside / DESCRIPTION, described)
