"""Users' histories as tensors: padded batches at the border, packed tokens inside.

A ``HistoryBatch`` is what callers hand over: chronological, left-aligned, zero padded. The network
works on ``PackedHistories``: the same actions end to end without padding, rows sorted by length,
so that every matrix product touches real actions only.

Shapes: B batch (rows), L length, T tokens in all rows together, R rows read from a store.
"""

from dataclasses import dataclass, fields, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from homefeed.schema import ActionFlag

# Longest over shortest history of a group. Padding costs a CPU its multiplications; a GPU has more
# of those than it can be given kernels to launch.
SPAN, GPU_SPAN = 1.5, 4.0


class ActionColumns(Protocol):
    """The columns of a sequence store that a history is read from; index = store position."""

    item: np.ndarray
    action: np.ndarray
    surface: np.ndarray
    flags: np.ndarray
    time_s: np.ndarray
    duration: np.ndarray


@dataclass(frozen=True, kw_only=True)
class HistoryBatch:
    """B histories, index 0 the oldest action, zero padded on the right."""

    item: Tensor  # (B, L) int64 item index
    action: Tensor  # (B, L) int64 action type
    surface: Tensor  # (B, L) int64 surface
    time_s: Tensor  # (B, L) int64 seconds since 1970 UTC
    duration: Tensor  # (B, L) float32 seconds
    time_known: Tensor  # (B, L) bool
    positive: Tensor  # (B, L) bool: ActionFlag.POSITIVE, as the data set's contract defines it
    length: Tensor  # (B,) int64


@dataclass(frozen=True, kw_only=True)
class Group:
    """Neighbouring rows of like length: attention pads them to their longest only."""

    rows: slice  # of the B rows
    tokens: slice  # of the T tokens
    longest: int
    slot: Tensor  # (tokens,) int64: place of each token in the padded [rows * longest] grid


@dataclass(frozen=True, kw_only=True)
class PackedHistories:
    """T actions of B histories end to end; rows sorted by length, each chronological."""

    item: Tensor  # (T,) int64
    action: Tensor  # (T,) int64
    surface: Tensor  # (T,) int64
    time_s: Tensor  # (T,) int64
    duration: Tensor  # (T,) float32
    time_known: Tensor  # (T,) bool
    place: Tensor  # (T,) int64: 0 = oldest of its row
    age_place: Tensor  # (T,) int64: 0 = newest of its row (the position that is learned)
    age_s: Tensor  # (T,) int64: seconds before the row's newest known time
    gap_s: Tensor  # (T,) int64: seconds after the row's previous action, 0 for the first
    gap_known: Tensor  # (T,) bool: false beside an action of unknown time
    groups: tuple[Group, ...]
    lengths: np.ndarray  # (B,) on the host: shapes must not wait for a device

    def last_token(self) -> Tensor:
        """Int64 [B] on the host: the token of each row's newest action."""
        return torch.from_numpy(np.cumsum(self.lengths) - 1)

    def to(self, device: torch.device | str) -> "PackedHistories":
        """The same histories on another device, in fewer groups where that is not a CPU."""
        moved = {
            f.name: _moved(getattr(self, f.name), device)
            for f in fields(self)
            if f.name != "groups"
        }
        groups = self.groups
        if torch.device(device).type != "cpu":
            groups = _groups(self.lengths, self.place.cpu().numpy(), GPU_SPAN)
            groups = tuple(replace(g, slot=_moved(g.slot, device)) for g in groups)
        return PackedHistories(**moved, groups=groups)


def _moved(value: Tensor | np.ndarray, device: torch.device | str) -> Tensor | np.ndarray:
    return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value


def read_histories(store: ActionColumns, positions: np.ndarray) -> HistoryBatch:
    """Read actions into a chronological batch.

    positions int64 [R, L]: store positions, NEWEST first, -1 where the history is shorter (as
    ``SequenceStore.last_available`` gives them). Returns B = R rows.
    """
    present = positions >= 0
    length = present.sum(axis=1)  # (R,)
    width = max(int(length.max(initial=0)), 1)
    column = length[:, None] - 1 - np.arange(width)  # newest-first index of each place
    inside = column >= 0
    rows = np.take_along_axis(positions, np.clip(column, 0, None), axis=1)
    rows = np.where(inside, rows, 0)

    def column_of(name: str, dtype: type) -> Tensor:
        source = np.asarray(getattr(store, name))
        values = source[rows] if len(source) else np.zeros(rows.shape)
        return torch.from_numpy(np.where(inside, values, 0).astype(dtype))

    flags = column_of("flags", np.int64)
    untimed = (flags & int(ActionFlag.TIME_UNKNOWN)) != 0
    present = torch.from_numpy(inside)
    return HistoryBatch(
        item=column_of("item", np.int64),
        action=column_of("action", np.int64),
        surface=column_of("surface", np.int64),
        time_s=column_of("time_s", np.int64),
        duration=column_of("duration", np.float32),
        time_known=present & ~untimed,
        positive=(flags & int(ActionFlag.POSITIVE)) != 0,
        length=torch.from_numpy(length.astype(np.int64)),
    )


def pack_rows(store: ActionColumns, rows: np.ndarray, lengths: np.ndarray) -> PackedHistories:
    """Read packed histories straight from a store.

    rows int64 [T]: store positions, history after history, oldest first; lengths int64 [B] ≥ 1,
    ascending.
    """

    def column(name: str, dtype: type) -> np.ndarray:
        return np.asarray(getattr(store, name))[rows].astype(dtype)  # memmaps index slowly

    return _packed(
        item=column("item", np.int64),
        action=column("action", np.int64),
        surface=column("surface", np.int64),
        time_s=column("time_s", np.int64),
        duration=column("duration", np.float32),
        time_known=(column("flags", np.int64) & ActionFlag.TIME_UNKNOWN) == 0,
        lengths=lengths,
    )


def pack(batch: HistoryBatch) -> tuple[PackedHistories, Tensor]:
    """Pack a padded batch, leaving out its empty rows.

    Returns the histories and int64 [rows with actions]: the row of the batch that each packed row
    came from.
    """
    length = batch.length.cpu().numpy()
    order = np.argsort(length, kind="stable")
    order = order[length[order] > 0]
    lengths = length[order]
    inside = np.arange(batch.item.shape[1]) < lengths[:, None]

    def tokens(column: Tensor) -> np.ndarray:
        return column.cpu().numpy()[order][inside]

    packed = _packed(
        item=tokens(batch.item),
        action=tokens(batch.action),
        surface=tokens(batch.surface),
        time_s=tokens(batch.time_s),
        duration=tokens(batch.duration),
        time_known=tokens(batch.time_known),
        lengths=lengths,
    )
    return packed, torch.from_numpy(order)


def _packed(
    *, lengths: np.ndarray, time_s: np.ndarray, time_known: np.ndarray, **columns: np.ndarray
) -> PackedHistories:
    """Order columns [T] as they come, rows of ``lengths`` [B], and derive places, ages and gaps."""
    end = np.cumsum(lengths)
    start = end - lengths
    row = np.repeat(np.arange(len(lengths)), lengths)
    place = np.arange(len(row)) - start[row]
    newest = np.zeros(len(lengths), dtype=np.int64)
    if len(lengths):
        newest = np.maximum.reduceat(np.where(time_known, time_s, 0), start)
    first = place == 0
    before = np.where(first, 0, np.arange(len(row)) - 1)
    gap_known = time_known & (first | time_known[before])
    gap_s = np.where(gap_known & ~first, np.maximum(time_s - time_s[before], 0), 0)
    age_s = np.where(time_known, newest[row] - time_s, 0)
    derived = {
        "time_s": np.where(time_known, time_s, 0),
        "time_known": time_known,
        "place": place,
        "age_place": lengths[row] - 1 - place,
        "age_s": age_s,
        "gap_s": gap_s,
        "gap_known": gap_known,
    }
    tensors = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in (columns | derived).items()}
    return PackedHistories(**tensors, groups=_groups(lengths, place), lengths=lengths)


def _groups(lengths: np.ndarray, place: np.ndarray, span: float = SPAN) -> tuple[Group, ...]:
    """Cut rows, ascending in length, where the longest would exceed ``span`` times the shortest."""
    groups, first, token = [], 0, 0
    while first < len(lengths):
        limit = max(int(lengths[first] * span), 8)
        last = int(np.searchsorted(lengths, limit, side="right"))
        count = lengths[first:last]
        tokens = slice(token, token + int(count.sum()))
        longest = int(count[-1])
        slot = np.repeat(np.arange(last - first), count) * longest + place[tokens]
        groups.append(
            Group(
                rows=slice(first, last),
                tokens=tokens,
                longest=longest,
                slot=torch.from_numpy(slot),
            )
        )
        first, token = last, tokens.stop
    return tuple(groups)
