"""Fit rankers: plain torch, several variants in one pass over the same batches.

The result does not depend on the number of workers beyond rounding. A step's requests are cut
into shards of like history length; a shard is computed whole by one worker, with torch's
generator seeded by (seed, step, shard, ranker) for its dropout, and gradients are summed over
shards and workers with weights that are global.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from homefeed.artifacts import hash_json
from homefeed.data.sequences import SequenceStore
from homefeed.data.training_set import TrainingSet
from homefeed.models.config import RankerConfig
from homefeed.models.ranker import Ranker
from homefeed.models.ranker_artifact import save_ranker
from homefeed.models.ranker_batch import ItemTables
from homefeed.models.ranker_description import RankerInputs
from homefeed.progress import Progress
from homefeed.training.checkpoints import Checkpoint, Report, load_checkpoint, save_checkpoint
from homefeed.training.keyed_random import keyed_bits
from homefeed.training.optimiser import build_optimiser, learning_rate_at, set_learning_rate
from homefeed.training.ranker_batches import LabelledBatch, RankerData
from homefeed.training.ranker_config import RankerFitConfig
from homefeed.training.ranker_loss import label_matrix, weighted_bce
from homefeed.training.ranker_plan import RankerPlan
from homefeed.training.workers import Worker, sum_gradients, sum_scalar


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
        self.plan = RankerPlan(config, self.data)
        self.level_steps, self.steps = self.plan.level_steps, self.plan.steps
        self.head_weight, self.matrix = label_matrix(
            training_set.meta.heads, config.head_weights, config.label_matrix
        )
        self.rankers = {
            r.name: _new_ranker(r, self.data, self.plan.rows, tables, config.seed).to(worker.device)
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

    def train_step(self) -> dict[str, Tensor]:
        """One step of every ranker; returns this worker's share of each loss, detached."""
        c, joint = self.config, self.step - self.level_steps
        rate = c.learning_rate
        if joint >= 0:
            steps = self.steps - self.level_steps
            warmup = max(1, round(c.warmup_share * steps))
            rate = learning_rate_at(joint, steps=steps, warmup_steps=warmup, peak=rate)
        for name, ranker in self.rankers.items():
            ranker.train()
            self.optimisers[name].zero_grad(set_to_none=True)
        losses = self._backward(only_level=joint < 0)
        parts = {
            name: _parts(ranker)[: 1 if joint < 0 else 2] for name, ranker in self.rankers.items()
        }
        # One message for all rankers: each costs a wait for the slowest worker.
        sum_gradients([p for groups in parts.values() for g in groups for p in g], self.worker)
        for name, groups in parts.items():
            for parameters in groups:
                nn.utils.clip_grad_norm_(parameters, c.gradient_clip)
            set_learning_rate(self.optimisers[name], rate)
            self.optimisers[name].step()
        self.step += 1
        return losses

    def _backward(self, *, only_level: bool) -> dict[str, Tensor]:
        """Gradients of this worker's shards; returns its share of every ranker's loss."""
        requests, _ = self.plan.requests_of(self.step)
        rows = float(np.asarray(self.data.set.weight[self.data.set.rows_of(requests)]).sum())
        losses = {name: torch.zeros((), device=self.worker.device) for name in self.rankers}
        with torch.random.fork_rng(devices=[]):
            for shard in self.plan.shards(self.step, self.worker):
                labelled = self.data.batch(shard.requests, shard.hidden)
                # By place in the list: what is listed after a ranker changes nothing about it, but
                # one that is listed second drops otherwise than where it is fitted alone.
                for order, (name, ranker) in enumerate(self.rankers.items()):
                    key = keyed_bits(self.config.seed, 3, self.step, shard.number, order)
                    torch.manual_seed(int(key >> 1))
                    loss, trained = self._loss(ranker, labelled, only_level)
                    (trained / rows).backward()
                    losses[name] += loss.detach() / rows
        return losses

    def _loss(
        self, ranker: Ranker, labelled: LabelledBatch, only_level: bool
    ) -> tuple[Tensor, Tensor]:
        """Loss of the logits, and what is minimised, of one shard.

        The level is fitted by itself, and the relevance to what it leaves: otherwise both would
        share what is known about the user, and the relevance would not be free of it.
        """
        device = self.worker.device
        batch = labelled.by_vector[ranker.config.user_vector].to(device)
        labels = labelled.labels.to(device)
        weights = [w.to(device) for w in (labelled.weight, self.head_weight, self.matrix)]
        if only_level:
            loss = weighted_bce(ranker.user_side(batch).level[batch.request], labels, *weights)
            return loss, loss
        level, relevance = ranker.parts(batch)
        loss = weighted_bce(level.detach() + relevance, labels, *weights)
        return loss, loss + weighted_bce(level, labels, *weights)

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
    started, told = time.monotonic(), ""  # until a loss is known there is none to show
    while fit.step < fit.steps:
        shares.append(fit.train_step())
        last = fit.step == fit.steps
        if progress:
            progress.advance(note=told)
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
            shares, told = [], f"loss {first:.3f}"
            if report:
                report(metrics, folder)
    if progress:
        progress.close()
    return metrics


def _parts(ranker: Ranker) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Parameters of the level, and all others."""
    level = list(ranker.level.parameters())
    own = {id(p) for p in level}
    return level, [p for p in ranker.parameters() if id(p) not in own]


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
        negative=meta.negative,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        ranker = Ranker(config, inputs)
    sample = rows[:: max(1, len(rows) // 200_000)]  # enough for means; memory stays bounded
    stats = torch.from_numpy(np.asarray(data.set.stats[sample]))
    ranker.set_normaliser(stats.mean(0), stats.std(0, correction=0))
    ranker.set_told(torch.from_numpy((np.asarray(data.set.familiarity[rows]) != 0).any(axis=0)))
    labels = np.asarray(data.set.labels[sample], np.float32)
    weight, item = np.asarray(data.set.weight[sample]), np.asarray(data.set.item[sample])
    match = (
        tables.match[config.user_vector] if ranker.reads_vector else np.zeros((item.max() + 1, 0))
    )
    ranker.set_typical_item(
        *(
            torch.from_numpy(np.average(table[item], axis=0, weights=weight))
            for table in (tables.vectors, match)
        )
    )
    ranker.set_base_rates(torch.from_numpy((labels * weight[:, None]).sum(0) / weight.sum()))
    return ranker.bind(tables)
