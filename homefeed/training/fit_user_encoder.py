"""Fit PinnerFormer: plain torch, one process per worker, the same result for any number of them.

What makes it independent of the workers: the plan of a step (users, positions, targets, negatives,
log Q) is a function of (seed, step) and computed alike everywhere; dropout is keyed by user and
place; user weights are global; gradients are summed, not averaged. Only rounding is left.
"""

import hashlib
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from homefeed.artifacts import hash_json
from homefeed.models.pinnerformer import PinnerFormer
from homefeed.models.user_encoders import EncoderOrigin, PinnerFormerEncoder
from homefeed.progress import Progress
from homefeed.training.batches import Batch, worker_batch
from homefeed.training.checkpoints import Checkpoint, Report, load_checkpoint, save_checkpoint
from homefeed.training.lookahead import Lookahead
from homefeed.training.losses import sampled_softmax
from homefeed.training.negatives import SampleProbabilities, draw_pool
from homefeed.training.optimiser import build_optimiser, learning_rate_at, set_learning_rate
from homefeed.training.sampling import (
    Timelines,
    TimelineStore,
    build_timelines,
    sample_positions,
    sample_users,
)
from homefeed.training.user_encoder_config import UserEncoderConfig
from homefeed.training.workers import Worker, gather_rows, sum_gradients, sum_scalar


class UserEncoderFit:
    """The state of one fit on one worker: model, temperature, optimiser, sketches, step."""

    def __init__(
        self,
        config: UserEncoderConfig,
        store: TimelineStore,
        item_vectors: np.ndarray,
        train_users: np.ndarray,
        *,
        before_s: int,
        worker: Worker,
        precision: str = "float32",
    ) -> None:
        self.config, self.store, self.worker = config, store, worker
        self.timelines: Timelines = build_timelines(
            store, train_users, before_s=before_s, window_days=config.window_days
        )
        # Item 0 stands for all items that training never saw: pushed away like any negative.
        self.corpus = np.append(0, np.flatnonzero(self.timelines.known_item))
        # Weights must start alike on every worker, and leave the caller's generator alone.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.model = PinnerFormer(
                config.network,
                torch.from_numpy(np.array(item_vectors, dtype=np.float32)),
                torch.from_numpy(self.timelines.known_item),
                num_actions=len(store.meta.action_types),
                num_surfaces=len(store.meta.surfaces),
            ).to(worker.device)
        self.log_scale = nn.Parameter(
            torch.tensor(-math.log(config.temperature_init), device=worker.device)
        )
        self.optimiser = build_optimiser(
            self.model,
            [self.log_scale],
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
        )
        self.parameters = [*self.model.parameters(), self.log_scale]
        self.probabilities = _probabilities(config, self.timelines)
        self.autocast = precision == "bf16"
        self.batches = Lookahead(self.plan)
        self.step = 0
        inputs = {"store": store.meta.content_hash, "before_s": before_s, "precision": precision}
        self.hash = _fit_hash(config, item_vectors, train_users, **inputs)

    def plan(self, step: int) -> Batch:
        """This worker's part of a step, on its device. Steps are planned in order, each once."""
        c = self.config
        picked = sample_users(self.timelines, seed=c.seed, step=step, batch_users=c.batch_users)
        plan = sample_positions(
            self.timelines,
            picked,
            seed=c.seed,
            step=step,
            history_length=c.network.history_length,
            positions_per_user=c.positions_per_user,
        )
        user_Q = plan.user[plan.owner]
        self.probabilities.update(user_Q, plan.target)  # before reading: no count is zero
        pool = draw_pool(
            plan,
            self.probabilities,
            self.corpus,
            num_uniform=c.num_negatives,
            max_in_batch=c.max_in_batch,
            seed=c.seed,
            step=step,
        )
        log_q = self.probabilities.log_conditional(user_Q, plan.target)
        batch = worker_batch(
            self.store, self.timelines, plan, log_q, pool, self.worker, seed=c.seed, step=step
        )
        return batch.to(self.worker.device)

    def loss(self, batch: Batch) -> Tensor:
        """This worker's share of the step's loss (all shares add up to it)."""
        with torch.autocast(self.worker.device, dtype=torch.bfloat16, enabled=self.autocast):
            key = batch.step_key
            user_QD = self.model(batch.histories, batch.read, batch.token_key, key)
            mine = batch.pool[self.worker.share(len(batch.pool))]
            pool_ND = self.model.embed_items(mine, key)
            pool_ND = gather_rows(pool_ND, len(batch.pool), self.worker)
            target_QD = self.model.embed_items(batch.target, key)
        return sampled_softmax(
            user_QD,
            target_QD,
            pool_ND,
            self.log_scale,
            target_log_q=batch.target_log_q,
            pool_log_weight=batch.pool_log_weight,
            masked=batch.masked,
            weight_Q=batch.weight,
        )

    def train_step(self, *, ahead: bool = False) -> Tensor:
        """One step; returns this worker's share of the loss, detached.

        ``ahead``: plan the next step beside it. No checkpoint can be saved after such a step.
        """
        c = self.config
        batch = self.batches.take(self.step, ahead=ahead)
        self.model.train()
        rate = learning_rate_at(
            self.step, steps=c.steps, warmup_steps=c.warmup_steps, peak=c.learning_rate
        )
        set_learning_rate(self.optimiser, rate)
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.loss(batch)
        loss.backward()
        sum_gradients(self.parameters, self.worker)
        nn.utils.clip_grad_norm_(self.parameters, c.gradient_clip)
        self.optimiser.step()
        with torch.no_grad():  # the floor of the temperature, kept on the parameter itself
            self.log_scale.clamp_(max=-math.log(c.temperature_floor))
        self.step += 1
        return loss.detach()

    def encoder(self, *, item_encoder_hash: str, code_version: str) -> PinnerFormerEncoder:
        """The encoder as it is now, for saving."""
        meta = self.store.meta
        origin = EncoderOrigin(
            items_hash=meta.items_hash,
            item_encoder_hash=item_encoder_hash,
            trained_before_s=self.timelines.before_s,
            action_types=tuple(meta.action_types),
            surfaces=tuple(meta.surfaces),
            code_version=code_version,
        )
        return PinnerFormerEncoder(network=self.model, origin=origin, device=self.worker.device)

    def save(self, folder: Path) -> None:
        """Write a checkpoint of the current step."""
        if self.batches.is_ahead:
            raise RuntimeError(f"the step after {self.step} was planned ahead: it is counted")
        state = {
            "model": self.model.state_dict(),
            "log_scale": self.log_scale.detach(),
            "optimiser": self.optimiser.state_dict(),
            "sketches": {
                k: torch.from_numpy(v.view(np.int32) if v.dtype == np.uint32 else v)
                for k, v in self.probabilities.state().items()
            },
        }
        save_checkpoint(folder, Checkpoint(step=self.step, config_hash=self.hash, state=state))

    def resume(self, folder: Path) -> None:
        """Go on from a checkpoint of the same fit."""
        found = load_checkpoint(folder, config_hash=self.hash)
        self.model.load_state_dict(found.state["model"])
        with torch.no_grad():
            self.log_scale.copy_(found.state["log_scale"])
        self.optimiser.load_state_dict(found.state["optimiser"])
        sketches = {k: v.numpy() for k, v in found.state["sketches"].items()}
        self.probabilities.restore(
            {k: v if k == "totals" else v.view(np.uint32) for k, v in sketches.items()}
        )
        self.step = found.step


def _fit_hash(config: UserEncoderConfig, items: np.ndarray, users: np.ndarray, **also: Any) -> str:
    """16 hexadecimal digits over all that a fit is made from: another one must not resume it."""
    # The vectors are no weights: a checkpoint would fit others of the same width as well.
    frozen = hashlib.blake2b(np.ascontiguousarray(items, np.float32), digest_size=8).hexdigest()
    named = {"config": asdict(config), "items": frozen, "users": hash_json(np.sort(users).tolist())}
    return hash_json(named | also)


def _probabilities(config: UserEncoderConfig, timelines: Timelines) -> SampleProbabilities:
    if config.sketch_width:
        return SampleProbabilities(config.sketch_width)
    samples = config.steps * config.batch_users * config.positions_per_user
    return SampleProbabilities.sized(timelines, samples)


def run_fit(
    fit: UserEncoderFit,
    *,
    checkpoints: Path | None = None,
    report: Report | None = None,
    show: bool = True,
    plan_ahead: bool | None = None,
) -> list[dict[str, float]]:
    """Train to the end, reporting metrics and checkpoints on the way; returns the metrics.

    ``report`` is called alike by all workers; only rank 0 has written the checkpoint it names.
    ``plan_ahead``: plan a step beside the one before it; None: where a GPU would wait for it.
    """
    c, worker = fit.config, fit.worker
    if plan_ahead is None:
        plan_ahead = worker.device != "cpu"
    metrics: list[dict[str, float]] = []
    progress = Progress("user encoder", c.steps - fit.step) if show and worker.rank == 0 else None
    shares, started, counted = [], time.monotonic(), fit.step
    while fit.step < c.steps:
        last = fit.step + 1 == c.steps
        saved = last or (checkpoints is not None and (fit.step + 1) % c.checkpoint_every == 0)
        shares.append(fit.train_step(ahead=plan_ahead and not saved))
        if progress:
            progress.advance(note="" if not metrics else f"loss {metrics[-1]['loss']:.3f}")
        saved = saved and checkpoints is not None
        if saved and worker.rank == 0:
            fit.save(checkpoints / f"step-{fit.step:07d}")
        if fit.step % c.report_every == 0 or last or saved:
            spent = max(time.monotonic() - started, 1e-9)
            metrics.append(
                {
                    "step": fit.step,
                    "loss": sum_scalar(torch.stack(shares).mean(), worker),
                    "temperature": float(torch.exp(-fit.log_scale.detach())),
                    "users_per_second": (fit.step - counted) * c.batch_users / spent,
                }
            )
            shares, started, counted = [], time.monotonic(), fit.step
            if report:
                folder = checkpoints / f"step-{fit.step:07d}" if saved else None
                report(metrics[-1], folder)
    if progress:
        progress.close()
    return metrics
