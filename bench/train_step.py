"""One training step: users per second, share of GEMM peak, and what padding would cost.

    python bench/train_step.py [pinnerformer] [--width 256] [--layers 2] [--users 32] [--repeats 7]
        [--precision float32|bf16] [--device cpu|cuda] [--steps 1] [--json out.json]

In one run, in turn, one thread each, on the same synthetic users (log-normal lengths of history,
median 40, at most 256) and the same shapes:

ours     homefeed's step: packed tokens, last block at the read positions only, chunked softmax
         with its gradient by hand, fused AdamW; sampling and reading from the store included
ours256  the same where every history has all 256 actions: what the length buckets save
peer     stock nn.TransformerEncoder (pre-norm), every history padded to 256, the output MLP and
         the full logits at every position, loss on the same targets, AdamW
limit    the rate of this machine's matrix products (width x 4 width), measured in this run
ready    on a GPU: ours with every batch planned and read beforehand, what the GPU alone needs

On a GPU the step's time is wall time, a turn of ``--steps`` steps ends when the device is done, and
the peer trains in the same precision.

The share of peak counts only the products that the step needs: real tokens, read positions,
attention below the diagonal. Backward is two products for each of forward.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from machine import seconds
from torch import nn
from torch.nn import functional as F

from homefeed.clock import DAY_S
from homefeed.models.config import PinnerFormerConfig
from homefeed.models.layers import mlp
from homefeed.training.batches import Batch
from homefeed.training.fit_user_encoder import UserEncoderFit
from homefeed.training.user_encoder_config import UserEncoderConfig
from homefeed.training.workers import Worker

ITEMS, ITEM_DIM, HISTORY = 20_000, 64, 256


class SyntheticLog:
    """The columns of a sequence store, in memory; every action is positive and a day has ten."""

    def __init__(self, users: int, *, full: bool) -> None:
        rng = np.random.default_rng(0)
        drawn = np.exp(rng.normal(np.log(40), 1.0, users)).astype(int)
        length = np.full(users, 2 * HISTORY) if full else np.clip(drawn, 2, 2 * HISTORY)
        self.length = np.append(0, length).astype(np.int32)
        self.start = np.cumsum(self.length) - self.length
        count, nth = int(self.length.sum()), np.concatenate([np.arange(n) for n in length])
        self.item = (rng.zipf(1.2, count) % ITEMS + 1).astype(np.int32)
        self.action, self.surface = np.ones((2, count), dtype=np.uint8)
        self.flags = np.ones(count, dtype=np.uint8)
        self.time_s = (1_600_000_000 + nth * (DAY_S // 10)).astype(np.uint32)
        self.duration = np.ones(count, dtype=np.float16)
        self.meta = SimpleNamespace(
            item_count=ITEMS, action_types=("", "click"), surfaces=("", "feed"), content_hash=""
        )

    def available_s(self, rows) -> np.ndarray:
        return self.time_s[rows].astype(np.int64)


def new_fit(options, *, full: bool) -> UserEncoderFit:
    log = SyntheticLog(2000, full=full)
    network = PinnerFormerConfig(
        dim=256,
        width=options.width,
        layers=options.layers,
        heads=8,
        history_length=HISTORY,
        item_hidden=256,
    )
    config = UserEncoderConfig(
        network=network, batch_users=options.users, positions_per_user=32, num_negatives=8192
    )
    vectors = np.random.default_rng(1).normal(size=(ITEMS + 1, ITEM_DIM)).astype(np.float32)
    return UserEncoderFit(
        config,
        log,
        vectors,
        np.arange(1, 2001),
        before_s=2_000_000_000,
        worker=Worker(device=options.device),
        precision=options.precision,
    )


def required_flop(fit: UserEncoderFit, batch: Batch) -> float:
    """Products of one step, forward and backward (three times forward)."""
    c = fit.config.network
    H, D, L = c.width, c.dim, batch.histories.lengths.astype(np.float64)
    T, Q, N = L.sum(), len(batch.read), len(batch.pool)
    per_row = Q / len(L)
    tokens = T * fit.model.project.in_features * H
    inner = (c.layers - 1) * (12 * H * H * T + 2 * H * (L * L / 2).sum())
    last = 2 * H * H * T + 10 * H * H * Q + 2 * H * (per_row * L / 2).sum()
    out = Q * (4 * H * H + 4 * H * D)
    tower = (N + Q) * (fit.model.items.in_features * c.item_hidden + c.item_hidden * D)
    head = Q * N * D
    return 2 * 3 * float(tokens + inner + last + out + tower + head)


class PaddedPeer(nn.Module):
    """The same network from stock layers, on padded rows."""

    def __init__(self, fit: UserEncoderFit) -> None:
        super().__init__()
        c = fit.config.network
        layer = nn.TransformerEncoderLayer(
            c.width,
            c.heads,
            4 * c.width,
            c.dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.encoder = nn.TransformerEncoder(layer, c.layers, enable_nested_tensor=False)
        self.device, self.autocast = fit.worker.device, fit.autocast
        self.parts = fit.model  # embeddings, times, projection and item tower are the same
        self.norm, self.out = nn.LayerNorm(c.width), mlp(c.width, 4 * c.width, c.dim)
        self.scale = nn.Parameter(torch.tensor(2.66))
        self.to(fit.worker.device)
        used = [self.encoder, self.norm, self.out, self.parts.items, self.parts.project]
        self.optimiser = torch.optim.AdamW([p for m in used for p in m.parameters()], lr=1e-3)

    def step(self, batch: Batch) -> None:
        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.autocast):
            loss = self.loss(batch)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()

    def loss(self, batch: Batch) -> torch.Tensor:
        h, device = batch.histories, self.device
        rows, place, lengths = len(h.lengths), h.place, torch.from_numpy(h.lengths)
        row = torch.repeat_interleave(torch.arange(rows), lengths).to(device)
        tokens = self.parts._tokens(h, self.parts.items.inputs(h.item))
        padded = tokens.new_zeros(rows, HISTORY, self.parts.config.width)
        tokens = padded.index_put((row, place), tokens)
        causal = nn.Transformer.generate_square_subsequent_mask(HISTORY, device=device)
        padding = torch.arange(HISTORY) >= lengths[:, None]
        bias = torch.zeros(padding.shape).masked_fill(padding, -torch.inf).to(device)
        x = self.encoder(tokens, mask=causal, src_key_padding_mask=bias, is_causal=True)
        user = F.normalize(self.out(self.norm(x)), dim=-1)  # (B, 256, D)
        pool = self.parts.embed_items(batch.pool).to(user.dtype)
        logits = user @ pool.T * self.scale.exp() + batch.pool_log_weight  # (B, 256, N)
        target = torch.searchsorted(batch.pool, batch.target).clamp(max=len(pool) - 1)
        label = torch.full((rows, HISTORY), -100, device=device)
        read = batch.read.to(device)
        label[row[read], place[read]] = target
        return F.cross_entropy(logits.view(-1, len(pool)), label.view(-1))


def gemm_rate(options, rows: int) -> float:
    """FLOP per second (CPU-second on a CPU) of a product of the step's shape; best of 20."""
    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32
    made = {"dtype": dtype, "device": options.device}
    a, b = (
        torch.randn(rows, options.width, **made),
        torch.randn(options.width, 4 * options.width, **made),
    )
    out = torch.empty(rows, 4 * options.width, **made)
    spent = []
    for _ in range(20):
        started = seconds(options.device)
        for _ in range(5):
            torch.mm(a, b, out=out)
        spent.append((seconds(options.device) - started) / 5)
    return 2 * a.numel() * 4 * options.width / min(spent)


def in_turn(ways: dict[str, Callable[[], object]], options) -> dict[str, list]:
    """(wall, CPU, counted) seconds a step of every way, in turn, after a turn to warm up.

    Counted is what the share of the limit is of: CPU time on a CPU, wall time on a GPU.
    """
    times = {name: [] for name in ways}
    for turn in range(options.repeats + 1):
        for name, way in ways.items():
            wall, cpu, counted = time.perf_counter(), time.process_time(), seconds(options.device)
            for _ in range(options.steps):
                way()
            counted = seconds(options.device) - counted
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            if turn:
                times[name].append([x / options.steps for x in (wall, cpu, counted)])
    return times


def spread(seconds: Sequence[float]) -> float:
    """Longest less shortest, as a share of the median."""
    return (max(seconds) - min(seconds)) / statistics.median(seconds)


def pinnerformer(options) -> dict:
    fit, full = new_fit(options, full=False), new_fit(options, full=True)
    peer = PaddedPeer(new_fit(options, full=False))
    steps, on_gpu = options.steps * (options.repeats + 1), options.device != "cpu"
    planned = [fit.plan(step) for step in range(steps)]
    batches = iter(planned)
    ways = {
        "ours": lambda: fit.train_step(ahead=on_gpu),
        "ours256": lambda: full.train_step(ahead=on_gpu),
        "peer": lambda: peer.step(next(batches)),
    }
    if on_gpu:
        ready, held = new_fit(options, full=False), iter(planned)
        ready.batches.take = lambda step, ahead: next(held)
        ways["ready"] = ready.train_step
    needed = {
        "ours": statistics.mean(required_flop(fit, b) for b in planned),
        "ours256": required_flop(full, full.plan(0)),
    }
    times = in_turn(ways, options)
    rows = planned[0].num_tokens if on_gpu else 2048
    rate = gemm_rate(options, rows)
    print(f"limit: {rate / 1e9:.0f} GFLOP/s ({options.precision}, {where(options.device)})\n")
    print(
        "         users/s       CPU ms/step   spread   wall ms/step   spread   "
        "share of peak   Gflop needed"
    )
    result = {"gemm_gflop_per_s": rate / 1e9, "options": vars(options), "ways": {}}
    for name, spent in times.items():
        wall, cpu, counted = (statistics.median(x) for x in zip(*spent, strict=True))
        flop = needed.get(name, needed["ours"])  # the peer does more; this is what it takes
        row = {
            "users_per_s": options.users / counted,
            "cpu_ms": cpu * 1e3,
            "spread": spread([each[1] for each in spent]),
            "wall_ms": wall * 1e3,
            "wall_spread": spread([each[0] for each in spent]),
            "share_of_peak": flop / counted / rate,
            "gflop": flop / 1e9,
        }
        result["ways"][name] = row
        print(
            f"{name:<8} {row['users_per_s']:>11.1f}   {row['cpu_ms']:>11.0f}   "
            f"{row['spread']:>6.0%}   {row['wall_ms']:>12.1f}   {row['wall_spread']:>6.0%}   "
            f"{row['share_of_peak']:>13.0%}   {row['gflop']:>12.1f}"
        )
    ratio = result["ways"]["ours"]["users_per_s"] / result["ways"]["peer"]["users_per_s"]
    print(f"\nours trains {ratio:.1f} times the peer's users in the same time, on the same targets")
    return result


def where(device: str) -> str:
    return (
        "one thread; users/s are per CPU-second"
        if device == "cpu"
        else torch.cuda.get_device_name()
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", nargs="?", default="pinnerformer", choices=["pinnerformer"])
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--users", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--precision", default="float32", choices=["float32", "bf16"])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--steps", type=int, default=1, help="steps of a turn")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    result = pinnerformer(options)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1, default=str))


if __name__ == "__main__":
    main()
