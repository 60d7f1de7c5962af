"""Fit rankers: plain torch, several variants in one pass over the same batches.

The result does not depend on the number of workers beyond rounding. A step's requests are cut
into shards of like history length; a shard is computed whole by one worker, with torch's
generator seeded by (seed, step, shard, ranker) for its dropout, and gradients are summed over
shards and workers with weights that are global.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from homefeed.artifacts import hash_json
from homefeed.data.ranking_rows import TRAIN
from homefeed.data.sequences import SequenceStore
from homefeed.data.training_set import TrainingSet
from homefeed.errors import DatasetError
from homefeed.models.ranker import Ranker, RankerConfig, RankerInputs
from homefeed.models.ranker_artifact import save_ranker
from homefeed.models.ranker_batch import ItemTables
from homefeed.progress import Progress
from homefeed.training.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from homefeed.training.keyed_random import keyed_bits, keyed_permutation
from homefeed.training.optimiser import build_optimiser, learning_rate_at, set_learning_rate
from homefeed.training.ranker_batches import RankerData
from homefeed.training.ranker_config import RankerFitConfig
from homefeed.training.ranker_loss import label_matrix, weighted_bce
from homefeed.training.workers import Worker, sum_gradients, sum_scalar

Report = Callable[[dict[str, float], Path | None], None]


class RankerFit:
    """The state of one fit on one worker: rankers, optimisers, step."""

    def __init__(
        self,
        config: RankerFitConfig,
        training_set: TrainingSet,
        store: SequenceStore,
        tables: ItemTables,
        *,
        worker: Worker,
    ) -> None:
        self.config, self.worker = config, worker
        kinds = sorted({r.user_vector for r in config.rankers})
        self.data = RankerData(training_set, store, kinds)
        self.requests = training_set.requests_of(TRAIN)
        if not len(self.requests):
            raise DatasetError("the training set has no requests between t0 and t1; move t0 back")
        rows = training_set.rows_of(self.requests)
        self.batch_requests = batch_requests(config, len(rows), len(self.requests))
        per_epoch = -(-len(self.requests) // self.batch_requests)
        self.steps = max(1, round(config.epochs * per_epoch))
        self.head_weight, self.matrix = label_matrix(
            training_set.meta.heads, config.head_weights, config.label_matrix
        )
        self.rankers = {
            r.name: _new_ranker(r, self.data, rows, tables, config.seed).to(worker.device)
            for r in config.rankers
        }
        self.optimisers = {
            name: build_optimiser(
                ranker, [], learning_rate=config.learning_rate, weight_decay=config.weight_decay
            )
            for name, ranker in self.rankers.items()
        }
        self.step = 0
        meta = training_set.meta
        self.hash = hash_json([asdict(config), meta.label_hash, meta.sequences_hash])

    def plan(self, step: int) -> tuple[np.ndarray, int]:
        """Requests int64 [R] of a step, each epoch in a new order, and the epoch."""
        per_epoch = -(-len(self.requests) // self.batch_requests)
        epoch, place = divmod(step, per_epoch)
        order = keyed_permutation(len(self.requests), self.config.seed, 1, epoch)
        part = slice(place * self.batch_requests, (place + 1) * self.batch_requests)
        return self.requests[order[part]], epoch

    def shards(self, step: int) -> list[tuple[int, np.ndarray, np.ndarray]]:
        """(shard number, requests, hidden actions) of this worker's shards of a step.

        Shards are of like history length, so that padding is short, and dealt to and fro, so
        that every worker gets long ones and short ones.
        """
        requests, epoch = self.plan(step)
        hours = self.config.window_hours
        hidden = self.data.hidden(requests, hours, self.config.seed, 2, epoch)
        order = np.argsort(self.data.lengths(requests) - hidden, kind="stable")
        size = self.data.set.begin[requests + 1] - self.data.set.begin[requests]
        shard = (np.cumsum(size[order]) - size[order]) // self.config.shard_rows
        parts = np.split(order, np.flatnonzero(np.diff(shard)) + 1)
        count, rank = self.worker.size, self.worker.rank
        turns = [
            n % count if n // count % 2 == 0 else count - 1 - n % count for n in range(len(parts))
        ]
        return [
            (n, requests[part], hidden[part]) for n, part in enumerate(parts) if turns[n] == rank
        ]

    def train_step(self) -> dict[str, Tensor]:
        """One step of every ranker; returns this worker's share of each loss, detached."""
        c = self.config
        rate = learning_rate_at(
            self.step,
            steps=self.steps,
            warmup_steps=max(1, round(c.warmup_share * self.steps)),
            peak=c.learning_rate,
        )
        for name, ranker in self.rankers.items():
            ranker.train()
            self.optimisers[name].zero_grad(set_to_none=True)
        requests, _ = self.plan(self.step)
        rows = float(np.asarray(self.data.set.weight[self.data.set.rows_of(requests)]).sum())
        losses = {name: torch.zeros(()) for name in self.rankers}
        with torch.random.fork_rng(devices=[]):
            for number, part, hidden in self.shards(self.step):
                for name, (loss, trained) in self._shard_losses(number, part, hidden).items():
                    (trained / rows).backward()
                    losses[name] += loss.detach().cpu() / rows
        for name, ranker in self.rankers.items():
            parameters = list(ranker.parameters())
            sum_gradients(parameters, self.worker)
            nn.utils.clip_grad_norm_(parameters, c.gradient_clip)
            set_learning_rate(self.optimisers[name], rate)
            self.optimisers[name].step()
        self.step += 1
        return losses

    def _shard_losses(self, number: int, requests: np.ndarray, hidden: np.ndarray):
        labelled = self.data.batch(requests, hidden)
        device = self.worker.device
        labels, weight = labelled.labels.to(device), labelled.weight.to(device)
        losses = {}
        for order, (name, ranker) in enumerate(self.rankers.items()):
            torch.manual_seed(int(keyed_bits(self.config.seed, 3, self.step, number, order) >> 1))
            level, relevance = ranker.parts(
                labelled.by_vector[ranker.config.user_vector].to(device)
            )
            weights = (weight, self.head_weight.to(device), self.matrix.to(device))
            # The level is fitted by itself and the relevance to what it leaves: otherwise both
            # would share what is known about the user, and the relevance would not be free of it.
            loss = weighted_bce(level.detach() + relevance, labels, *weights)
            losses[name] = (loss, loss + weighted_bce(level, labels, *weights))
        return losses

    def save(self, folder: Path) -> None:
        """Write a checkpoint of the current step."""
        state = {
            name: {"ranker": r.state_dict(), "optimiser": self.optimisers[name].state_dict()}
            for name, r in self.rankers.items()
        }
        save_checkpoint(folder, Checkpoint(step=self.step, config_hash=self.hash, state=state))

    def resume(self, folder: Path) -> None:
        """Go on from a checkpoint of the same fit."""
        found = load_checkpoint(folder, config_hash=self.hash)
        for name, state in found.state.items():
            self.rankers[name].load_state_dict(state["ranker"])
            self.optimisers[name].load_state_dict(state["optimiser"])
        self.step = found.step


def fit_rankers(
    config: RankerFitConfig,
    training_set: TrainingSet,
    store: SequenceStore,
    tables: ItemTables,
    out: Path | None,
    *,
    worker: Worker | None = None,
    bound_to: Mapping[str, Any] | None = None,
    checkpoints: Path | None = None,
    resume: Path | None = None,
    report: Report | None = None,
    show: bool = True,
) -> RankerFit:
    """Fit all rankers of ``config`` on one worker; rank 0 writes ``out/<name>`` for each.

    ``bound_to`` goes into every artifact: hashes of encoders and vocabularies. ``report`` is
    called alike by all workers; only rank 0 has written the checkpoint that it names.

    Raises DatasetError where the training window is empty, ArtifactError where the store, the
    vectors or a checkpoint are not of this training set.
    """
    fit = RankerFit(config, training_set, store, tables, worker=worker or Worker())
    if resume is not None:
        fit.resume(resume)
    last = run_ranker_fit(fit, checkpoints, report, show)
    if out is not None and fit.worker.rank == 0:
        save_rankers(fit, out, bound_to or {}, last)
    return fit


def save_rankers(
    fit: RankerFit, out: Path, bound_to: Mapping[str, Any], training: dict[str, Any]
) -> dict[str, str]:
    """Write every ranker of a fit as ``out/<name>``; returns their hashes."""
    meta = fit.data.set.meta
    of_set = {
        "label_hash": meta.label_hash,
        "items_hash": meta.items_hash,
        "users_hash": meta.users_hash,
        "has_impressions": meta.has_impressions,
        "timeline": meta.timeline,
    }
    hashes = {}
    for name, ranker in fit.rankers.items():
        kind = ranker.config.user_vector
        encoder = fit.data.set.encoder_hash(kind) if kind != "none" else None
        bound = {**of_set, "user_encoder_hash": encoder, **bound_to}
        hashes[name] = save_ranker(ranker, Path(out) / name, bound_to=bound, training=training)
    return hashes


def run_ranker_fit(
    fit: RankerFit, checkpoints: Path | None, report: Report | None, show: bool
) -> dict[str, float]:
    """Train to the end, reporting metrics and checkpoints on the way; returns the last metrics."""
    c, worker = fit.config, fit.worker
    metrics: dict[str, float] = {"step": fit.step, "loss": float("nan")}
    progress = Progress("rankers", fit.steps - fit.step) if show and worker.rank == 0 else None
    shares: list[dict[str, Tensor]] = []
    started = time.monotonic()
    while fit.step < fit.steps:
        shares.append(fit.train_step())
        last = fit.step == fit.steps
        if progress:
            progress.advance(note=f"loss {metrics['loss']:.3f}")
        saved = checkpoints is not None and (fit.step % c.checkpoint_every == 0 or last)
        folder = checkpoints / f"step-{fit.step:07d}" if saved else None
        if saved and worker.rank == 0:
            fit.save(folder)
        if fit.step % c.report_every == 0 or last or saved:
            losses = {
                name: sum_scalar(torch.stack([s[name] for s in shares]).mean(), worker)
                for name in fit.rankers
            }
            first = next(iter(losses.values()))
            metrics = {"step": fit.step, "loss": first, "seconds": time.monotonic() - started}
            metrics |= {f"loss_{name}": loss for name, loss in losses.items()}
            shares = []
            if report:
                report(metrics, folder)
    if progress:
        progress.close()
    return metrics


def batch_requests(config: RankerFitConfig, rows: int, requests: int) -> int:
    """Requests per step, so that a step has ``batch_rows`` candidates on average."""
    return max(1, round(config.batch_rows * requests / rows))


def _new_ranker(
    config: RankerConfig, data: RankerData, rows: np.ndarray, tables: ItemTables, seed: int
) -> Ranker:
    """A ranker with weights drawn from ``seed`` alone, and normalised to the training rows."""
    meta = data.set.meta
    inputs = RankerInputs(
        heads=meta.heads,
        action_types=meta.action_types,
        surfaces=meta.surfaces,
        stats=meta.stats,
        item_count=meta.item_count,
        vector_dim=tables.vectors.shape[1],
        user_vector_dim=data.vector_dim(config.user_vector),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        ranker = Ranker(config, inputs)
    sample = rows[:: max(1, len(rows) // 200_000)]  # enough for means; memory stays bounded
    stats = torch.from_numpy(np.asarray(data.set.stats[sample]))
    ranker.set_normaliser(stats.mean(0), stats.std(0, correction=0))
    labels = np.asarray(data.set.labels[sample], np.float32)
    weight = np.asarray(data.set.weight[sample])
    ranker.set_base_rates(torch.from_numpy((labels * weight[:, None]).sum(0) / weight.sum()))
    return ranker.bind(tables)
