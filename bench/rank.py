"""One ranking request: 500 candidates x 100 actions, TransAct of width 96 and two layers.

    python bench/rank.py [--candidates 500] [--actions 100] [--chunk N] [--repeats 9]
        [--lists 2000] [--device cpu|cuda] [--json out.json]

In one run, in turn, one thread each, the whole ranker around it (features, DCN v2, heads):

ours f32   the fast form in float32: exact algebra, candidates in chunks that stay in cache
ours bf16  the same with TransAct in bfloat16
ours best  whichever of the two this machine multiplies faster in (precision: fastest)
peer       the same ranker with PyTorch's stock nn.TransformerEncoder layers (the same weights,
           evaluation mode, their fused inference path), all candidates at once
peer/25    the same, the candidates in chunks of 25: what chunking alone gives
limit      what the products of the form need at this machine's rate for large products, measured
           in this run, in that precision

Cost written down before the code, FLOP per candidate at L = 100, D = 96, FFN 32, two layers:

             stock                                   ours
layer 1      QKV 3 * 2LDD = 5.53 M                   0 (shared by the request)
             scores, mix 2 * 2LLD = 3.84 M           one product with exp(A): 2LLD = 1.92 M
             output 2LDD = 1.84 M                    0 (folded)
             FFN 2 * 2LDF = 1.23 M                   1.23 M
layer 2      the same: 12.44 M                       query-key 1.84, value-output 1.84,
                                                     scores, mix 3.84, FFN 1.23: 8.76 M
sum          24.9 MFLOP                              11.9 MFLOP

Bytes: a candidate's activations are 38 KB in float32, a chunk of 25 is 0.96 MB and stays in the
second-level cache; all 500 at once are 19 MB a tensor and go through memory some twenty times.
Elementwise work per candidate: one exponential per score of layer 2 (10,000), four layer norms
(38,400 values), residuals; at about 0.5 G/s each that is as long as the products themselves.

On a GPU the time is wall time (a request ends when its scores are on the host).

HIT@3 of each form on lists of 25 candidates, labels drawn from the float32 ranker's own odds
(steepened, so that the order matters): the same lists for all.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from machine import gflops
from torch import Tensor

from homefeed.evaluation.ranking_metrics import hits_at_3
from homefeed.models.config import variant
from homefeed.models.ranker import Ranker
from homefeed.models.ranker_batch import ItemTables
from homefeed.models.ranker_description import RankerInputs
from homefeed.models.scorer import Scorer, ScorerSettings, UserFeatures
from homefeed.models.transact import TransAct
from serving.tuning import keep_freed_memory

ITEMS, LIST = 20_000, 25


class StockScorer(Scorer):
    """The plain scorer with PyTorch's own encoder layers in TransAct's place."""

    def __init__(self, *args, at_once: int, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.encoder, self.at_once = stock_encoder(self.ranker.transact), at_once
        self.encoder.to(self.settings.device)

    @torch.inference_mode()
    def score(self, user: UserFeatures, candidates: np.ndarray) -> np.ndarray:
        candidate_N = torch.from_numpy(np.asarray(candidates, np.int64)).to(self.settings.device)
        batch = self._batch(user, candidate_N)
        side = self.ranker.user_side(batch)
        item_NC = self.items[candidate_N]
        rows = torch.cat([item_NC, self.typical])
        parts = [self.summary(side.history, part) for part in rows.split(self.at_once)]
        summary = torch.cat(parts)
        relevance = self.ranker.candidate_side(side, batch, item_NC, summary[:-1] - summary[-1:])
        return (side.level + relevance).sigmoid().cpu().numpy()

    def summary(self, history_1LE: Tensor, item_NC: Tensor) -> Tensor:
        count, length = len(item_NC), history_1LE.shape[1]
        x = torch.cat(
            [
                history_1LE.expand(count, -1, -1),
                item_NC[:, None].expand(-1, length, -1),
            ],
            -1,
        )
        present = torch.ones(count, length, dtype=torch.bool, device=x.device)
        return self.ranker.transact.read_out(self.encoder(x), present)


def stock_encoder(transact: TransAct) -> torch.nn.TransformerEncoder:
    config = transact.config
    layer = torch.nn.TransformerEncoderLayer(
        config.dim, 1, config.ffn_dim, config.dropout, batch_first=True
    )
    encoder = torch.nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
    for theirs, ours in zip(encoder.layers, transact.layers, strict=True):
        theirs.self_attn.in_proj_weight.data = ours.qkv.weight.data
        theirs.self_attn.in_proj_bias.data = ours.qkv.bias.data
        theirs.self_attn.out_proj.load_state_dict(ours.out.state_dict())
        theirs.linear1.load_state_dict(ours.ffn_in.state_dict())
        theirs.linear2.load_state_dict(ours.ffn_out.state_dict())
        theirs.norm1.load_state_dict(ours.norm1.state_dict())
        theirs.norm2.load_state_dict(ours.norm2.state_dict())
    return encoder.eval()


def new_ranker() -> tuple[Ranker, ItemTables, np.ndarray]:
    """A ranker whose history matters (weights above their initial size), and its tables."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    inputs = RankerInputs(
        heads=("save", "click", "closeup", "hide"),
        action_types=("", "save", "click", "closeup", "hide"),
        surfaces=("", "home"),
        stats=tuple(f"s{n}" for n in range(15)),
        item_count=ITEMS,
        vector_dim=64,
        user_vector_dim=64,
        negative=("hide",),
    )
    ranker = Ranker(variant("full"), inputs)
    with torch.no_grad():
        for layer in ranker.transact.layers:
            layer.qkv.weight.mul_(2)
        ranker.item_id.weight[1:].normal_(std=0.3)
    vectors = rng.normal(size=(ITEMS + 1, 64)).astype(np.float32)
    stats = rng.normal(size=(ITEMS + 1, 15)).astype(np.float32)
    return ranker.eval(), ItemTables(vectors=vectors, match={"pinnerformer": vectors}), stats


def request(rng: np.random.Generator, actions: int) -> UserFeatures:
    return UserFeatures(
        request_time_s=1_700_000_000,
        items=rng.integers(1, ITEMS + 1, actions),
        actions=rng.integers(1, 5, actions),
        vector=rng.normal(size=64).astype(np.float32),
        surface=1,
    )


def measured(runs: dict[str, Callable[[], object]], repeats: int) -> dict[str, dict[str, float]]:
    """Milliseconds of CPU and wall, the runs in turn: median and half the middle 50 %."""
    for run in runs.values():
        run()
    cpu = {name: [] for name in runs}
    wall = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            start, begun = time.process_time(), time.perf_counter()
            run()
            cpu[name].append((time.process_time() - start) * 1e3)
            wall[name].append((time.perf_counter() - begun) * 1e3)
    return {
        name: {
            "cpu_ms": statistics.median(cpu[name]),
            "spread_ms": half_middle(cpu[name]),
            "wall_ms": statistics.median(wall[name]),
            "wall_spread_ms": half_middle(wall[name]),
        }
        for name in runs
    }


def half_middle(values: list[float]) -> float:
    """Half the width of the middle 50 %."""
    return float(np.subtract(*np.percentile(values, [75, 25])) / 2)


def flop_per_candidate(length: int, dim: int, ffn: int) -> tuple[float, float]:
    """Stock and ours, two layers."""
    square, scores, inner = 2 * length * dim**2, 2 * length**2 * dim, 4 * length * dim * ffn
    return 2 * (4 * square + 2 * scores + inner), 2 * square + 3 * scores + 2 * inner


def swapped(scores: np.ndarray, reference: np.ndarray) -> int:
    """Neighbours in the reference's order that ``scores`` would swap by more than rounding."""
    order = np.argsort(-reference, kind="stable")
    gap = np.diff(scores[order])
    return int((gap > 1e-6).sum())


def list_hits(
    forms: dict[str, Scorer], actions: int, lists: int
) -> tuple[dict[str, float], dict[str, float]]:
    """HIT@3 of each form over the same lists, and the share of lists with another top 3."""
    rng = np.random.default_rng(7)
    scores: dict[str, list[np.ndarray]] = {name: [] for name in forms}
    labels = []
    for _ in range(lists):
        user, candidates = request(rng, actions), rng.integers(1, ITEMS + 1, LIST)
        for name, form in forms.items():
            scores[name].append(form.score(user, candidates)[:, 0])
        # Labels follow the scores, as a fitted ranker's do; a drawn one's may round to 0 or 1.
        chance = np.clip(scores["ours f32"][-1].astype(np.float64), 1e-6, 1 - 1e-6)
        logit = np.log(chance / (1 - chance))
        appeal = (logit - logit.mean()) / logit.std()
        labels.append(rng.random(LIST) < 1 / (1 + np.exp(1 - appeal)))
    group, label = np.repeat(np.arange(lists), LIST), np.concatenate(labels)
    hits = {
        name: float(hits_at_3(np.concatenate(s), label, group, group).value.mean())
        for name, s in scores.items()
    }
    top = {name: [set(np.argsort(-each)[:3]) for each in s] for name, s in scores.items()}
    moved = {
        name: float(np.mean([a != b for a, b in zip(t, top["ours f32"], strict=True)]))
        for name, t in top.items()
    }
    return hits, moved


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--candidates", type=int, default=500)
    parser.add_argument("--actions", type=int, default=100)
    parser.add_argument("--chunk", type=int, help="candidates at a time; by default as served")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--lists", type=int, default=2000)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    parts = new_ranker()
    common = {"chunk": options.chunk, "device": options.device}
    peer = ScorerSettings(exact_algebra=False, device=options.device)
    forms = {
        "ours f32": Scorer(*parts, ScorerSettings(**common)),
        "ours bf16": Scorer(*parts, ScorerSettings(precision="bfloat16", **common)),
        "ours best": Scorer(*parts, ScorerSettings(precision="fastest", **common)),
        "peer": StockScorer(*parts, peer, at_once=options.candidates),
        "peer/25": StockScorer(*parts, peer, at_once=25),
    }
    rng = np.random.default_rng(1)
    user = request(rng, options.actions)
    candidates = rng.integers(1, ITEMS + 1, options.candidates)
    times = measured(
        {n: lambda f=f: f.score(user, candidates) for n, f in forms.items()}, options.repeats
    )
    reference = forms["peer"].score(user, candidates)
    hits, moved = list_hits(
        {n: f for n, f in forms.items() if n != "peer/25"}, options.actions, options.lists
    )
    precisions = {"ours f32": torch.float32, "ours bf16": torch.bfloat16}
    rates = {name: gflops(dtype, options.device) for name, dtype in precisions.items()}
    best = forms["ours best"].fast
    rates["ours best"] = rates["ours bf16" if best.dtype == torch.bfloat16 else "ours f32"]
    config = parts[0].config.transact
    stock, ours = flop_per_candidate(options.actions, config.dim, config.ffn_dim)
    rows, counted = {}, "cpu_ms" if options.device == "cpu" else "wall_ms"
    for name, row in times.items():
        flop = (ours if name.startswith("ours") else stock) * options.candidates
        limit = flop / rates.get(name, rates["ours f32"]) / 1e6
        score = forms[name].score(user, candidates)
        rows[name] = row | {
            "times_peer": times["peer"][counted] / row[counted],
            "limit_ms": limit,
            "of_limit": limit / row[counted],
            "largest_difference": float(np.abs(score - reference).max()),
            "swapped": swapped(score[:, 0], reference[:, 0]),
        }
    print_table(options, rows, hits, moved, rates)
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "hit_at_3": hits, "gflops": rates}))


def print_table(options, rows: dict, hits: dict, moved: dict, rates: dict) -> None:
    where = "one thread" if options.device == "cpu" else torch.cuda.get_device_name()
    print(
        f"{options.candidates} candidates x {options.actions} actions x 96, 2 layers, {where}; "
        f"products {rates['ours f32']:.0f} GFLOP/s float32, {rates['ours bf16']:.0f} bfloat16"
    )
    print(
        f"{'':10}{'CPU ms':>8}{'±':>6}{'wall':>8}{'±':>6}{'x peer':>8}{'limit':>8}{'of it':>7}"
        "  difference"
    )
    for name, r in rows.items():
        print(
            f"{name:10}{r['cpu_ms']:8.1f}{r['spread_ms']:6.1f}"
            f"{r['wall_ms']:8.2f}{r['wall_spread_ms']:6.2f}"
            f"{r['times_peer']:8.2f}{r['limit_ms']:8.1f}{r['of_limit']:7.0%}"
            f"  {r['largest_difference']:.1e}, {r['swapped']} neighbours swapped"
        )
    base = hits["peer"]
    for name, hit in hits.items():
        print(
            f"HIT@3 {name:10}{hit:.4f} ({(hit - base) / base:+.2%} of the peer's), "
            f"{moved[name]:.1%} of lists with another top 3"
        )


if __name__ == "__main__":
    main()
