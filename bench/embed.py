"""Batch embedding: users per second against the machine's limit and a plain padded loop.

    python bench/embed.py [--users 4000] [--width 64] [--layers 2] [--repeats 3]
        [--device cpu|cuda] [--json out.json]

A synthetic log: lengths of history are log-normal (median 40, cut at 256 when read), a user's last
action falls on any of the last 100 days. In one run, in turn, one thread each:

ours     homefeed.embedding: users sorted by length, tokens packed, only the newest one's output
peer     a plain loop in the order of the users: every history padded to 256, PyTorch's stock
         pre-norm nn.TransformerEncoder of the same shape, output taken at the newest position
limit    the matrix products that these histories need (projections and FFN of real tokens),
         divided by the GEMM rate of this machine, measured in this run

On a GPU every second is of wall time, the peer's too.

Then a daily run (scan for new actions, embed, merge) where 1, 5, 20, 50 and 100 % of the users
were active: its cost should be theirs.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import nn

from homefeed.clock import DAY_S
from homefeed.data.contract import write_dataset
from homefeed.data.sequences.build import build_sequences
from homefeed.data.sequences.store import SequenceStore
from homefeed.data.specification import DatasetSpec
from homefeed.embedding import EmbeddingConfig, UserVectors, embed_day, embed_users
from homefeed.models.config import PinnerFormerConfig
from homefeed.models.history import read_histories
from homefeed.models.pinnerformer import PinnerFormer
from homefeed.models.user_encoders import EncoderOrigin, PinnerFormerEncoder

END_S = 1_700_000_000
ITEMS, ITEM_DIM, HISTORY = 20_000, 64, 256
PEER_USERS = 512
SHARES = (0.01, 0.05, 0.2, 0.5, 1.0)


def main() -> None:
    options = parsed()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="embed-") as folder:
        store = synthetic_store(Path(folder), options.users)
        encoder = saved_encoder(Path(folder) / "encoder", store, options)
        users = np.arange(1, store.meta.user_count + 1)
        peer = PaddedLoop(options).eval().to(options.device)
        config = EmbeddingConfig(
            batch_size=options.batch, batch_tokens=options.batch * HISTORY, device=options.device
        )
        some = users[:: max(1, len(users) // PEER_USERS)]  # each user costs the peer the same
        ways = {
            "ours": lambda: embed_users(encoder, store, users, END_S, config),
            "peer": lambda: peer.embed_all(store, some, options.batch),
        }
        timed = in_turn(ways, options)
        timed["ours"]["users"], timed["peer"]["users"] = len(users), len(some)
        rate = gemm_rate(options)
        limit_s = required_flop(store, options) / rate
        whole = ways["ours"]()
        curve = {share: daily(encoder, store, whole, share, config, options) for share in SHARES}
    result = {
        "users": len(users),
        "actions": store.meta.action_count,
        "network": {"width": options.width, "layers": options.layers, "history": HISTORY},
        "gemm_gflop_per_s": rate / 1e9,
        "limit_s": limit_s,
        "device": options.device,
        **timed,
        "daily": curve,
    }
    show(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--users", default=4_000, type=int)
    parser.add_argument("--width", default=64, type=int)
    parser.add_argument("--layers", default=2, type=int)
    parser.add_argument("--batch", default=256, type=int)
    parser.add_argument("--repeats", default=3, type=int)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def synthetic_store(folder: Path, users: int) -> SequenceStore:
    draw = np.random.default_rng(0)
    length = np.clip(np.exp(draw.normal(np.log(40), 1.1, users)), 1, 2_000).astype(int)
    user = np.repeat(np.arange(users), length)
    last_s = END_S - (np.arange(users) * 100 * DAY_S // users)  # 1 % of the users end on each day
    back_s = draw.exponential(6 * 3600, len(user))
    start = np.cumsum(length) - length
    since = np.cumsum(back_s) - np.repeat(np.cumsum(back_s)[start], length)  # 0 for the newest
    log = pl.DataFrame(
        {
            "user_id": user,
            "item_id": draw.integers(1, ITEMS + 1, len(user)),
            "action_type": draw.choice(["like", "view"], len(user)),
            "timestamp": (np.repeat(last_s, length) - since).astype(np.int64) * 1000,
        }
    ).sort("timestamp")
    spec = DatasetSpec(name="log", files={"actions": "a"}, positive=("like",), neutral=("view",))
    return build_sequences(write_dataset(folder / "log", spec, {"actions": log}), folder / "store")


def saved_encoder(folder: Path, store: SequenceStore, options: argparse.Namespace) -> Path:
    """PinnerFormer with random weights: its cost is that of a trained one."""
    torch.manual_seed(0)
    config = PinnerFormerConfig(
        width=options.width, layers=options.layers, heads=4, dim=64, history_length=HISTORY
    )
    frozen = torch.randn(store.meta.item_count + 1, ITEM_DIM)
    network = PinnerFormer(
        config,
        frozen,
        torch.ones(len(frozen), dtype=torch.bool),
        num_actions=len(store.meta.action_types),
        num_surfaces=len(store.meta.surfaces),
    )
    origin = EncoderOrigin(
        items_hash=store.meta.items_hash,
        item_encoder_hash="",
        trained_before_s=0,
        action_types=store.meta.action_types,
        surfaces=store.meta.surfaces,
    )
    PinnerFormerEncoder(network=network, origin=origin).save(folder)
    return folder


class PaddedLoop(nn.Module):
    """What one writes first: pad to the full length, run everything, take one position."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__()
        width = options.width
        self.items = nn.Embedding(ITEMS + 1, ITEM_DIM)
        self.project = nn.Linear(ITEM_DIM, width)
        layer = nn.TransformerEncoderLayer(
            width, 4, 4 * width, batch_first=True, norm_first=True, activation="gelu"
        )
        self.layers = nn.TransformerEncoder(layer, options.layers, enable_nested_tensor=False)
        self.output = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, 64)
        )

    @torch.inference_mode()
    def embed_all(self, store: SequenceStore, users: np.ndarray, size: int) -> torch.Tensor:
        device = self.project.weight.device
        mask = nn.Transformer.generate_square_subsequent_mask(HISTORY, device=device)
        pieces = []
        for start in range(0, len(users), size):
            batch = users[start : start + size]
            before_s = np.full(len(batch), END_S + 1)
            histories = read_histories(store, store.last_available(batch, before_s, HISTORY))
            item = nn.functional.pad(histories.item, (0, HISTORY - histories.item.shape[1]))
            padded = torch.arange(HISTORY) >= histories.length[:, None]
            padding = torch.zeros(padded.shape).masked_fill(padded, -torch.inf)
            tokens, padding = self.project(self.items(item.to(device))), padding.to(device)
            hidden = self.layers(tokens, mask, src_key_padding_mask=padding, is_causal=True)
            newest = hidden[torch.arange(len(batch)), (histories.length - 1).clamp(min=0)]
            pieces.append(nn.functional.normalize(self.output(newest), dim=-1).cpu())
        return torch.cat(pieces)


def in_turn(ways: dict[str, Callable[[], object]], options: argparse.Namespace) -> dict[str, dict]:
    """Counted and wall seconds of each way, taken alternately; the first round warms up."""
    clock = time.process_time if options.device == "cpu" else time.perf_counter
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for repeat in range(options.repeats + 1):
        for name, way in ways.items():
            counted, wall = clock(), time.perf_counter()
            way()  # its result is on the host: a GPU has done all of it
            if repeat:
                spent[name].append((clock() - counted, time.perf_counter() - wall))
    return {name: summary(values) for name, values in spent.items()}


def summary(values: list[tuple[float, float]]) -> dict[str, float]:
    counted, wall = zip(*values, strict=True)
    return {
        "spent_s": statistics.median(counted),
        "spent_s_min": min(counted),
        "spent_s_max": max(counted),
        "wall_s": statistics.median(wall),
        "wall_s_min": min(wall),
        "wall_s_max": max(wall),
    }


def gemm_rate(options: argparse.Namespace) -> float:
    """FLOP per counted second of the FFN's product at a batch's size, float32."""
    rows = 8_192 if options.device == "cpu" else options.batch * HISTORY
    left = torch.randn(rows, options.width, device=options.device)
    right = torch.randn(options.width, 4 * options.width, device=options.device)
    clock = time.process_time if options.device == "cpu" else time.perf_counter
    rates = []
    for _ in range(15):
        begun = clock()
        for _ in range(5):
            found = left @ right
        float(found[0, 0])  # waits for a device that works on its own
        rates.append(5 * 2 * left.numel() * right.shape[1] / (clock() - begun))
    return statistics.median(rates[3:])


def required_flop(store: SequenceStore, options: argparse.Namespace) -> float:
    """Projections and FFN of real tokens; the last layer's for the newest token only."""
    tokens = int(np.minimum(store.length, HISTORY).sum())
    users, width = store.meta.user_count, options.width
    keys_and_values, queries_output_ffn = 4 * width**2, 20 * width**2
    layers = tokens * (options.layers * keys_and_values + (options.layers - 1) * queries_output_ffn)
    return layers + users * queries_output_ffn + tokens * 2 * ITEM_DIM * width


def daily(
    encoder: Path,
    store: SequenceStore,
    whole: UserVectors,
    share: float,
    config: EmbeddingConfig,
    options: argparse.Namespace,
) -> dict[str, float]:
    """A daily run over a table of everybody, where ``share`` of the users have new actions."""
    yesterday = UserVectors(whole.user, whole.vector, END_S - int(share * 100 * DAY_S))
    embedded = 0

    def run() -> None:
        nonlocal embedded
        _, embedded = embed_day(encoder, store, yesterday, END_S, config)

    found = in_turn({"day": run}, options)["day"]
    return {**found, "embedded": embedded}


def walls(row: dict) -> str:
    return f"{row['wall_s_min']:.2f} to {row['wall_s_max']:.2f}"


def show(result: dict) -> None:
    users = result["users"]
    network, on_cpu = result["network"], result["device"] == "cpu"
    where = "one thread" if on_cpu else torch.cuda.get_device_name()
    unit = "CPU-s" if on_cpu else "s"
    print(
        f"{users:,} users, {result['actions']:,} actions; width {network['width']}, "
        f"{network['layers']} layers, the newest {network['history']} actions; {where}, float32"
    )
    print(
        f"{'':8}{'users':>8}{unit:>8}{'spread':>16}{'wall s':>8}{'spread':>16}"
        f"{'users/' + unit:>13}{'limit':>8}"
    )
    limit = users / result["limit_s"]
    rates = {}
    for name in ("ours", "peer"):
        row = result[name]
        rates[name] = row["users"] / row["spent_s"]
        spread = f"{row['spent_s_min']:.2f} to {row['spent_s_max']:.2f}"
        print(
            f"{name:8}{row['users']:8,}{row['spent_s']:8.2f}{spread:>16}{row['wall_s']:8.2f}{walls(row):>16}"
            f"{rates[name]:13,.0f}{rates[name] / limit:8.0%}"
        )
    rate = result["gemm_gflop_per_s"]
    print(f"{'limit':8}{users:8,}{result['limit_s']:8.2f}{'':24}{limit:13,.0f}", end="")
    print(f"  at {rate:.0f} GFLOP/s")
    print(f"ours / peer: {rates['ours'] / rates['peer']:.1f}x")
    print(
        f"\n{'active':>8}{'embedded':>10}{unit:>8}{'spread':>16}{'wall s':>8}{'spread':>16}"
        f"{'of a full run':>15}"
    )
    full = result["ours"]["spent_s"]
    for share, row in result["daily"].items():
        spread = f"{row['spent_s_min']:.2f} to {row['spent_s_max']:.2f}"
        print(
            f"{share:8.0%}{row['embedded']:10,}{row['spent_s']:8.2f}{spread:>16}"
            f"{row['wall_s']:8.2f}{walls(row):>16}{row['spent_s'] / full:15.0%}"
        )


if __name__ == "__main__":
    main()
