"""Negatives: one merged pool of in-batch positives and uniform items, with its log-Q correction.

PinnerFormer (KDD'22, 3.3, A.3), and where the paper leaves a choice, as Pinterest's open code of a
sibling with the same loss has it (github.com/pinterest/atg-research, omnisearchsage):
- the pool is the batch's positives, over all workers, capped, and uniform items of the corpus;
- log Q is subtracted from every logit, in training only: for a positive the conditional
  probability log C(user, item)/C(user); for a negative the marginal one, times the pool's size;
  counts by count-min sketch, updated before they are read. Uniform items have the constant
  probability of their draw, which needs no sketch;
- items that are positives of the row's own user in this batch are masked.

An item drawn several times stands in the pool once, with the sum of its weights 1/Q: the same
softmax, fewer columns. Where the catalogue is smaller than the wanted number of uniform negatives,
every item is taken exactly once: without in-batch items that is the full softmax. Each of the two
sources is corrected by its own probability, so with both the pool estimates twice the partition.

Shapes: Q positions, N pool items, I catalogue.
"""

from dataclasses import dataclass

import numpy as np

from homefeed.training.count_min_sketch import CountMinSketch, width_for
from homefeed.training.keyed_random import keyed_bits, keyed_integers
from homefeed.training.sampling import SampledUsers, Timelines

_PAIR_STRIDE = np.int64(1 << 32)  # an item index is below it


class SampleProbabilities:
    """The two sketches behind log Q; part of a checkpoint."""

    def __init__(self, width: int, pair_width: int | None = None) -> None:
        self.items = CountMinSketch(width)  # marginal: over positives
        # conditional: (user, item), and (user, 0) for C(user)
        self.pairs = CountMinSketch(pair_width or width)

    @classmethod
    def sized(cls, timelines: Timelines, samples: int) -> "SampleProbabilities":
        """Sketches wide enough for ``samples`` positives drawn from these timelines.

        What may be counted is bounded by the log and by how much of it the fit looks at.
        """
        pairs = min(len(timelines.positive_key), samples) + len(timelines.user)
        return cls(width_for(int(timelines.known_item.sum())), width_for(pairs))

    def update(self, user_Q: np.ndarray, item_Q: np.ndarray) -> None:
        """Count the positives of one global batch."""
        self.items.add(item_Q)
        self.pairs.add(np.concatenate((user_Q * _PAIR_STRIDE + item_Q, user_Q * _PAIR_STRIDE)))

    def log_conditional(self, user_Q: np.ndarray, item_Q: np.ndarray) -> np.ndarray:
        """Log C(user, item) / C(user) of pairs that were counted; float64 [Q], at most 0."""
        pair = self.pairs.count(user_Q * _PAIR_STRIDE + item_Q)
        return np.log(np.minimum(pair / self.pairs.count(user_Q * _PAIR_STRIDE), 1.0))

    def marginal(self, item_N: np.ndarray) -> np.ndarray:
        """Probability that one draw of a positive is the item; items that were counted."""
        return self.items.count(item_N) / self.items.total

    def state(self) -> dict[str, np.ndarray]:
        """Everything to go on from; see ``restore``."""
        return {
            "items": self.items.counts,
            "pairs": self.pairs.counts,
            "totals": np.array([self.items.total, self.pairs.total]),
        }

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Take over what ``state`` gave."""
        self.items.counts, self.pairs.counts = state["items"].copy(), state["pairs"].copy()
        self.items.total, self.pairs.total = (int(x) for x in state["totals"])


@dataclass(frozen=True, kw_only=True)
class NegativePool:
    """N distinct items, ascending, with the log of their summed weights 1/Q."""

    item: np.ndarray  # (N,) int64
    log_weight: np.ndarray  # (N,) float32: added to the logit, i.e. minus log Q


def draw_pool(
    plan: SampledUsers,
    probabilities: SampleProbabilities,
    corpus: np.ndarray,
    *,
    num_uniform: int,
    max_in_batch: int,
    seed: int,
    step: int,
) -> NegativePool:
    """Merge the plan's positives and uniform items of ``corpus`` int64 [I] into one pool."""
    in_batch = plan.target
    if len(in_batch) > max_in_batch:
        rank = keyed_bits(seed, step, plan.user[plan.owner], 5, plan.position)
        in_batch = in_batch[np.argsort(rank, kind="stable")[:max_in_batch]]
    if num_uniform >= len(corpus):
        uniform = corpus
    else:
        uniform = corpus[keyed_integers(len(corpus), seed, step, 6, np.arange(num_uniform))]
    weight_in = 1 / (len(in_batch) * probabilities.marginal(in_batch)) if max_in_batch else []
    weight_uniform = np.full(len(uniform), len(corpus) / max(len(uniform), 1))
    item, column = np.unique(np.concatenate((in_batch, uniform)), return_inverse=True)
    weight = np.bincount(column, weights=np.concatenate((weight_in, weight_uniform)))
    return NegativePool(item=item, log_weight=np.log(weight).astype(np.float32))


def own_positives(plan: SampledUsers, pool: NegativePool) -> tuple[np.ndarray, np.ndarray]:
    """(position, pool column) pairs to mask: positives of the position's own user in this batch.

    Sorted by position. Includes the position's own target.
    """
    pair = np.unique(plan.owner * _PAIR_STRIDE + plan.target)  # distinct (owner, item)
    owner, item = pair // _PAIR_STRIDE, pair % _PAIR_STRIDE
    column = np.searchsorted(pool.item, item)
    present = pool.item[np.minimum(column, len(pool.item) - 1)] == item
    owner, column = owner[present], column[present]
    # Every position of an owner meets every pooled positive of that owner.
    start = np.searchsorted(owner, plan.owner)
    count = np.searchsorted(owner, plan.owner, side="right") - start
    position = np.repeat(np.arange(len(plan.owner)), count)
    nth = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return position, column[np.repeat(start, count) + nth]
