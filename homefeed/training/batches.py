"""One worker's part of one step: its users' packed histories and everything the loss reads.

The plan of a step is computed alike by all workers (sampling is keyed); each then reads from the
store only its own users. Users are dealt out in order of length, so that workers get equal work.

Shapes: B users of this worker, T tokens, Q positions of this worker, N pool items.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from homefeed.models.history import ActionColumns, PackedHistories, pack_rows
from homefeed.training.keyed_random import dropout_keys
from homefeed.training.negatives import NegativePool, own_positives
from homefeed.training.sampling import SampledUsers, Timelines
from homefeed.training.workers import Worker

# Read by the host while it launches kernels; on the device, each read would wait for them.
_ON_HOST = ("read", "masked", "num_tokens", "step_key")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one worker computes in one step."""

    histories: PackedHistories
    token_key: Tensor  # (T,) int32 dropout keys
    read: Tensor  # (Q,) int64 tokens that predict, ascending
    target: Tensor  # (Q,) int64 item
    target_log_q: Tensor  # (Q,) float32
    weight: Tensor  # (Q,) float32; all workers' weights add up to 1
    pool: Tensor  # (N,) int64 item, the same for all workers
    pool_log_weight: Tensor  # (N,) float32
    masked: tuple[Tensor, Tensor]  # (position, pool column) pairs
    step_key: int  # int32: keys the dropout of item ids
    num_tokens: int

    def to(self, device: str) -> "Batch":
        """The same batch on another device, less what decides shapes: that stays on the host."""
        moved = {
            f.name: getattr(self, f.name).to(device) for f in fields(self) if f.name not in _ON_HOST
        }
        return replace(self, **moved)


def worker_batch(
    store: ActionColumns,
    timelines: Timelines,
    plan: SampledUsers,
    target_log_q: np.ndarray,
    pool: NegativePool,
    worker: Worker,
    *,
    seed: int,
    step: int,
) -> Batch:
    """Read this worker's share of the plan. target_log_q float64 [Q of the whole plan]."""
    by_length = np.argsort(plan.length, kind="stable")
    mine = by_length[worker.rank :: worker.size]  # ascending in length, as packing needs it
    first, lengths = plan.first[mine], plan.length[mine]
    offset = np.cumsum(lengths) - lengths
    place = np.arange(lengths.sum()) - np.repeat(offset, lengths)
    rows = timelines.row[np.repeat(first, lengths) + place]
    # A position's token: where its row starts in the packing plus its place in the row.
    order = np.full(len(plan.user), -1, dtype=np.int64)
    order[mine] = np.arange(len(mine))
    at = order[plan.owner]
    chosen = np.flatnonzero(at >= 0)
    token = offset[at[chosen]] + plan.position[chosen] - first[at[chosen]]
    chosen = chosen[np.argsort(token)]
    share = 1 / np.bincount(plan.owner, minlength=len(plan.user))[plan.owner] / len(plan.user)
    position, column = own_positives(plan, pool)
    masked = _renumbered(position, column, chosen, len(plan.owner))
    user = np.repeat(plan.user[mine], lengths)
    return Batch(
        histories=pack_rows(store, rows, lengths),
        token_key=torch.from_numpy(dropout_keys(seed, step, user, place)),
        read=torch.from_numpy(np.sort(token)),
        target=torch.from_numpy(plan.target[chosen]),
        target_log_q=torch.from_numpy(target_log_q[chosen].astype(np.float32)),
        weight=torch.from_numpy(share[chosen].astype(np.float32)),
        pool=torch.from_numpy(pool.item),
        pool_log_weight=torch.from_numpy(pool.log_weight),
        masked=masked,
        step_key=int(dropout_keys(seed, step, np.array(0), np.array(-1))),
        num_tokens=len(rows),
    )


def _renumbered(
    position: np.ndarray, column: np.ndarray, chosen: np.ndarray, count: int
) -> tuple[Tensor, Tensor]:
    """Keep the pairs of this worker's positions, under their numbers here, in order."""
    number = np.full(count, -1, dtype=np.int64)
    number[chosen] = np.arange(len(chosen))
    position = number[position]
    kept = np.flatnonzero(position >= 0)
    kept = kept[np.argsort(position[kept], kind="stable")]
    return torch.from_numpy(position[kept]), torch.from_numpy(column[kept].astype(np.int64))
