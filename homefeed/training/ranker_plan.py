"""Which requests a step takes, and how its work is cut: a function of (seed, step) alone.

Shapes: R requests of a step.
"""

from dataclasses import dataclass

import numpy as np

from homefeed.data.ranking_rows import TRAIN
from homefeed.data.training_set import TrainingSet
from homefeed.errors import DatasetError
from homefeed.training.keyed_random import keyed_permutation
from homefeed.training.ranker_batches import RankerData
from homefeed.training.ranker_config import RankerFitConfig
from homefeed.training.workers import Worker


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Requests computed together, whole, by one worker."""

    number: int  # within the step, of all workers' shards
    requests: np.ndarray  # int64 [R]
    hidden: np.ndarray  # int64 [R] newest actions that the time window hides


class RankerPlan:
    """The steps of a fit. Raises DatasetError where the training window is empty."""

    def __init__(self, config: RankerFitConfig, data: RankerData) -> None:
        self.config, self.data = config, data
        self.requests = data.set.requests_of(TRAIN)
        if not len(self.requests):
            raise DatasetError(
                "the training set has no requests to train on; set sequences.ranker_days"
            )
        self.rows = data.set.rows_of(self.requests)
        self.batch_requests, self.level_steps, self.steps = _steps(
            config, len(self.requests), len(self.rows)
        )
        self.per_epoch = -(-len(self.requests) // self.batch_requests)

    def requests_of(self, step: int) -> tuple[np.ndarray, int]:
        """Requests int64 [R] of a step, each epoch in a new order, and the epoch."""
        epoch, place = divmod(step, self.per_epoch)
        order = keyed_permutation(len(self.requests), self.config.seed, 1, epoch)
        part = slice(place * self.batch_requests, (place + 1) * self.batch_requests)
        return self.requests[order[part]], epoch

    def shards(self, step: int, worker: Worker) -> list[Shard]:
        """The worker's shards of a step.

        Shards are of like history length, so that padding is short, and dealt to and fro, so
        that every worker gets long ones and short ones.
        """
        requests, epoch = self.requests_of(step)
        hidden = self.data.hidden(requests, self.config.window_hours, self.config.seed, 2, epoch)
        order = np.argsort(self.data.lengths(requests) - hidden, kind="stable")
        size = self.data.set.begin[requests + 1] - self.data.set.begin[requests]
        shard = (np.cumsum(size[order]) - size[order]) // self.config.shard_rows
        parts = np.split(order, np.flatnonzero(np.diff(shard)) + 1)
        return [
            Shard(number=number, requests=requests[part], hidden=hidden[part])
            for number, part in enumerate(parts)
            if _turn(number, worker.size) == worker.rank
        ]


def planned_steps(config: RankerFitConfig, training_set: TrainingSet) -> int:
    """How many steps a fit on ``training_set`` takes, the level's own included."""
    requests = training_set.requests_of(TRAIN)
    return _steps(config, len(requests), len(training_set.rows_of(requests)))[2]


def _steps(config: RankerFitConfig, requests: int, rows: int) -> tuple[int, int, int]:
    """Requests per step (``batch_rows`` candidates on average), level steps, all steps."""
    batch = max(1, round(config.batch_rows * requests / max(rows, 1)))
    per_epoch = -(-requests // batch)
    level_steps = round(config.level_epochs * per_epoch)
    return batch, level_steps, level_steps + max(1, round(config.epochs * per_epoch))


def _turn(number: int, workers: int) -> int:
    """Rank whose shard this is: 0 1 … n-1 n-1 … 1 0 0 1 …"""
    round_, place = divmod(number, workers)
    return place if round_ % 2 == 0 else workers - 1 - place
