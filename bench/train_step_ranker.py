"""One training step of the full ranker: rows per second, share of GEMM peak, what sharing saves.

    python bench/train_step_ranker.py [--rows 1024] [--per-request 1] [--repeats 5]
        [--shard-rows 128] [--item-dim 32] [--action-dim 32] [--ffn-dim 32]
        [--device cpu|cuda] [--json out.json]

In one run, in turn, one thread each, on the same synthetic requests (log-normal lengths of
history, median 40, at most 100) and the same ranker (TransAct, 2 layers, 96 wide by
default, DCN v2):

ours     homefeed's step: shards of like length, the request's part of the first layer once per
         request, dropout masks from a pool, fused AdamW; reading the batch included
ours100  the same where every history has all 100 actions: what the length buckets save
peer     the same ranker on nn.TransformerEncoder layers, histories padded to 100, torch's dropout,
         the candidate joined to every action of a copy of the history per candidate, AdamW
limit    the rate of this machine's matrix products (1024 square), measured in this run

The transformer is as wide as two items and an action: 256 with ``--item-dim 96 --action-dim 64``,
where shards of 32 rows stay in cache. Each request has its typical item beside its candidates,
which no share counts: with ``--per-request 1`` that is half of the work.

On a GPU the time is wall time, until the device is done.

The share of peak counts the products that the step needs: real actions, the first layer's
projections once per request. Per action, at the default D = 96, E = 64, FFN 32, forward:
  request's part  2 E 3D                                   36.9 kFLOP once per request
                  shared scores 2 L D                      (19.2 at L = 100)
  layer 1         mix 2LD, output 2DD, FFN 4DF             50 kFLOP at L = 100, per candidate
  layer 2         QKV 6DD, scores and mix 4LD, output 2DD, FFN 4DF      124 kFLOP
and twice that backward. DCN v2 and the rest are under 2 %.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from machine import gflops, seconds
from rank import stock_encoder
from torch import nn

from homefeed.data.familiarity import FEATURES
from homefeed.data.training_set import TrainingSet
from homefeed.models.config import TransActConfig, variant
from homefeed.models.ranker_batch import ItemTables
from homefeed.training.fit_ranker import RankerFit
from homefeed.training.ranker_config import RankerFitConfig
from homefeed.training.ranker_loss import weighted_bce
from homefeed.training.workers import Worker

ITEMS, HISTORY, STATS, HEADS = 20_000, 100, 15, 4


class SyntheticSet(TrainingSet):
    """A training set in memory: one user a request, ``per_request`` candidates each."""

    def __init__(self, requests: int, per_request: int, *, full: bool) -> None:
        rng = np.random.default_rng(0)
        drawn = np.exp(rng.normal(np.log(40), 1.0, requests)).astype(int)
        length = np.full(requests, HISTORY) if full else np.clip(drawn, 1, HISTORY)
        rows = requests * per_request
        self.path = Path("synthetic")
        self.meta = SimpleNamespace(
            heads=tuple(f"h{n}" for n in range(HEADS)),
            stats=tuple(f"s{n}" for n in range(STATS)),
            action_types=("", "save", "click", "closeup", "hide"),
            surfaces=("", "home"),
            negative=("hide",),
            item_count=ITEMS,
            sequences_hash="",
            label_hash="",
        )
        start = np.cumsum(length) - length
        column = np.arange(HISTORY)
        newest = (start + length - 1)[:, None] - column
        self.actions = np.where(column < length[:, None], newest, -1)
        self.time_ms = np.full(requests, 1_700_000_000_000)
        self.split, self.surface = np.zeros((2, requests), np.uint8)
        self.request = np.repeat(np.arange(requests), per_request)
        self.begin = np.arange(requests + 1) * per_request
        self.item = rng.integers(1, ITEMS + 1, rows)
        self.labels = (rng.random((rows, HEADS)) < 0.2).astype(np.uint8)
        self.weight = np.ones(rows, np.float32)
        self.stats = rng.normal(size=(rows, STATS)).astype(np.float32)
        self.familiarity = rng.random((rows, len(FEATURES))).astype(np.float32)
        self.store = synthetic_store(int(length.sum()), rng)


def synthetic_store(count: int, rng: np.random.Generator) -> SimpleNamespace:
    """Actions a month old, so that the time window hides none and every step is alike."""
    return SimpleNamespace(
        meta=SimpleNamespace(content_hash=""),
        item=rng.integers(1, ITEMS + 1, count),
        action=rng.integers(1, 5, count),
        flags=np.zeros(count, np.uint8),
        time_s=np.full(count, 1_697_000_000),
    )


class PlainPeer:
    """The padded step on stock layers."""

    def __init__(self, fit: RankerFit) -> None:
        self.fit, self.ranker = fit, fit.rankers["full"]
        self.device = fit.worker.device
        self.encoder = stock_encoder(self.ranker.transact).train().to(self.device)
        parameters = [*self.ranker.parameters(), *self.encoder.parameters()]
        self.optimiser = torch.optim.AdamW(parameters, lr=1e-3)
        self.step = 0

    def train_step(self) -> None:
        requests, _ = self.fit.plan.requests_of(self.step)
        labelled = self.fit.data.batch(requests)
        batch, ranker = labelled.by_vector["none"].to(self.device), self.ranker.train()
        missing = HISTORY - batch.items.shape[1]
        items, actions = (nn.functional.pad(x, (0, missing)) for x in (batch.items, batch.actions))
        user = ranker.user_side(batch)
        history = torch.cat([ranker.item_features(items), ranker.action_type(actions)], -1)
        item_NC = ranker.item_features(batch.candidates)
        count, requests = len(item_NC), torch.arange(len(items), device=self.device)
        rows = torch.cat([batch.request, requests])
        item = torch.cat([item_NC, ranker.typical_item().expand(len(requests), -1)])
        present = (actions > 0)[rows]
        x = torch.cat([history[rows], item[:, None].expand(-1, HISTORY, -1)], -1)
        x = self.encoder(x, src_key_padding_mask=~present)
        of_all = ranker.transact.read_out(x, present)
        summary = of_all[:count] - of_all[count:][batch.request]
        relevance = ranker.candidate_side(user, batch, item_NC, summary)
        self.optimiser.zero_grad(set_to_none=True)
        logits = user.level[batch.request] + relevance
        given = (labelled.labels, labelled.weight, self.fit.head_weight, self.fit.matrix)
        given = (x.to(self.device) for x in given)
        (weighted_bce(logits, *given) / len(logits)).backward()
        nn.utils.clip_grad_norm_(ranker.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1


def transformer(options) -> TransActConfig:
    dims = {"item_dim": options.item_dim, "action_dim": options.action_dim}
    return TransActConfig(**dims, ffn_dim=options.ffn_dim)


def new_fit(options, *, full: bool) -> RankerFit:
    requests = 4 * options.rows // options.per_request
    made = SyntheticSet(requests, options.per_request, full=full)
    config = RankerFitConfig(
        rankers=(variant("full", user_vector="none", transact=transformer(options)),),
        batch_rows=options.rows,
        shard_rows=options.shard_rows,
        level_epochs=0.0,
    )
    vectors = np.random.default_rng(1).normal(size=(ITEMS + 1, 64)).astype(np.float32)
    tables = ItemTables(vectors=vectors, match={})
    return RankerFit(config, made, made.store, tables, worker=Worker(device=options.device))


def forward_flop(length: np.ndarray, per_request: int, config: TransActConfig) -> float:
    """Products of one forward pass over requests with histories of ``length`` [R]."""
    width, joined = config.dim, config.item_dim + config.action_dim
    square, ffn = width * width, 4 * width * config.ffn_dim
    once = length * (6 * joined * width + 2 * length * width)
    first = length * (2 * length * width + 2 * square + ffn)
    second = length * (6 * square + 4 * length * width + 2 * square + ffn)
    return float((once + per_request * (first + second)).sum())


def timed(step, options) -> tuple[list[float], list[float]]:
    """Seconds that count (CPU time; on a GPU wall time) and wall seconds of each step."""
    step()
    counted, wall = [], []
    for _ in range(options.repeats):
        start, begun = seconds(options.device), time.perf_counter()
        step()
        counted.append(seconds(options.device) - start)
        wall.append(time.perf_counter() - begun)
    return counted, wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=1024, help="candidates a step")
    parser.add_argument("--per-request", type=int, default=1, help="candidates of a request")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--shard-rows", type=int, default=128, help="rows computed at a time")
    parser.add_argument("--item-dim", type=int, default=32, help="width of an item in a row")
    parser.add_argument("--action-dim", type=int, default=32, help="width of an action type")
    parser.add_argument("--ffn-dim", type=int, default=32, help="width of the hidden layer")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    fits = {"ours": new_fit(options, full=False), "ours100": new_fit(options, full=True)}
    steps = {name: fit.train_step for name, fit in fits.items()}
    steps["peer"] = PlainPeer(new_fit(options, full=False)).train_step
    rate, rows = gflops(torch.float32, options.device), {}
    for name, step in steps.items():
        counted, wall = timed(step, options)
        fit = fits.get(name, fits["ours"])
        lengths = fit.data.lengths(fit.plan.requests)
        mean_flop = forward_flop(lengths, options.per_request, transformer(options))
        mean_flop *= 3 * fit.plan.batch_requests / len(fit.plan.requests)
        spent = statistics.median(counted)
        rows[name] = {
            "rows_per_s": options.rows / spent,
            "step_s": spent,
            "spread_s": float(np.subtract(*np.percentile(counted, [75, 25])) / 2),
            "wall_s": statistics.median(wall),
            "wall_s_min": min(wall),
            "wall_s_max": max(wall),
            "of_peak": mean_flop / spent / 1e9 / rate,
        }
    print(
        f"{options.rows} rows a step, {options.per_request} a request, "
        f"{transformer(options).dim} wide; limit {rate:.0f} GFLOP/s"
    )
    unit = "CPU-s" if options.device == "cpu" else f"s ({torch.cuda.get_device_name()})"
    for name, r in rows.items():
        print(
            f"{name:8} {r['rows_per_s']:8.0f} rows per {unit}  step {r['step_s']:.3f} "
            f"± {r['spread_s']:.3f}, {r['wall_s']:.3f} s wall "
            f"[{r['wall_s_min']:.3f}–{r['wall_s_max']:.3f}]  {r['of_peak']:.0%} of peak"
        )
    if options.json:
        options.json.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
