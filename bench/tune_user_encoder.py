"""Try user-encoder configurations: Recall@10 against recent popularity, held-out users and time.

    python bench/tune_user_encoder.py STORE GRID.json [--items vectors.npy] [--before-s T0]
        [--until-s T1] [--held-out 0.3] [--device cuda] [--precision bf16] [--out results.json]

GRID.json is a list of {"name": ..., "network": {...}, any other field of UserEncoderConfig}.
Needs torch and NumPy only. Recall@10 as PinnerFormer defines it (KDD'22, 4.1), full ranking:
distinct positives in (T0, T1] of users held out from training, ties count against the model.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from homefeed.clock import DAY_S
from homefeed.models.config import PinnerFormerConfig
from homefeed.models.history import pack, read_histories
from homefeed.schema import ActionFlag
from homefeed.training.fit_user_encoder import UserEncoderFit, run_fit
from homefeed.training.keyed_random import keyed_uniform
from homefeed.training.sampling import TimelineStore
from homefeed.training.user_encoder_config import UserEncoderConfig
from homefeed.training.workers import Worker

SALT = 17  # of the draw of held-out users
Scores = Callable[[np.ndarray], np.ndarray]  # user numbers [n] → scores [n, I + 1]


COLUMNS = {
    "item": ("item.i32", "<i4"), "action": ("action.u8", "u1"), "surface": ("surface.u8", "u1"),
    "flags": ("flags.u8", "u1"), "time_s": ("time.u32", "<u4"), "duration": ("duration.f16", "<f2"),
    "late_min": ("late.u16", "<u2"),
}  # fmt: skip


class PlainStore:
    """A sequence store without its vocabularies: needs NumPy only."""

    def __init__(self, path: Path) -> None:
        self.meta = SimpleNamespace(**json.loads((path / "meta.json").read_text()))
        for name, (file, dtype) in COLUMNS.items():
            setattr(self, name, np.fromfile(path / file, dtype=dtype))
        users = np.load(path / "users.npz")
        self.start, self.length = users["start"], users["length"]

    def available_s(self, rows: np.ndarray) -> np.ndarray:
        late_min = self.late_min[rows].astype(np.int64)
        delay = np.ceil(self.duration[rows].astype(np.float32)).astype(np.int64) + late_min * 60
        return self.time_s[rows] + np.where(late_min == 65535, 1 << 40, delay)


def config_from(entry: dict) -> UserEncoderConfig:
    names = {f.name for f in fields(UserEncoderConfig)}
    given = {k: v for k, v in entry.items() if k in names and k != "network"}
    return UserEncoderConfig(network=PinnerFormerConfig(**entry.get("network", {})), **given)


def rows_of(store: TimelineStore, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whose (number in ``users``) and at which store position each action is."""
    start, length = np.asarray(store.start)[users], np.asarray(store.length)[users]
    owner = np.repeat(np.arange(len(users)), length)
    nth = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    return owner, start[owner] + nth


def truth(
    store: TimelineStore, users: np.ndarray, from_s: int, until_s: int
) -> tuple[np.ndarray, np.ndarray]:
    """Distinct (user number, item) positives in (from_s, until_s]."""
    owner, row = rows_of(store, users)
    time_s, flags = store.time_s[row].astype(np.int64), store.flags[row]
    wanted = (flags & ActionFlag.POSITIVE) != 0
    wanted &= (flags & ActionFlag.TIME_UNKNOWN) == 0
    wanted &= (time_s > from_s) & (time_s <= until_s)
    pair = np.unique(owner[wanted] * (1 << 32) + store.item[row][wanted].astype(np.int64))
    return pair >> 32, pair & 0xFFFFFFFF


def newest_positions(
    store: TimelineStore, users: np.ndarray, before_s: int, count: int
) -> np.ndarray:
    """Store positions [R, count], newest first, -1 padding, of what was available by before_s."""
    owner, row = rows_of(store, users)
    seen = store.available_s(row) < before_s
    owner, row = owner[seen], row[seen]
    end = np.searchsorted(owner, np.arange(len(users)), side="right")
    have = end - np.searchsorted(owner, np.arange(len(users)))
    back = np.arange(count)
    column = end[:, None] - 1 - back
    return np.where(back < have[:, None], row[np.clip(column, 0, None)], -1)


def recalls(
    scores: Scores, owner: np.ndarray, item: np.ndarray, users: int, k: int = 10
) -> np.ndarray:
    """Recall@k per user with positives."""
    hit = np.zeros(len(item))
    for first in range(0, users, 512):
        last = min(first + 512, users)
        part = slice(*np.searchsorted(owner, [first, last]))
        if part.start == part.stop:
            continue
        table = scores(np.arange(first, last))
        table[:, 0] = -np.inf
        own = table[owner[part] - first, item[part]]
        # The positive itself does not count, other items at least as good do.
        hit[part] = (table[owner[part] - first] >= own[:, None]).sum(1) - 1 < k
    count = np.bincount(owner, minlength=users)
    return (np.bincount(owner, weights=hit, minlength=users) / np.maximum(count, 1))[count > 0]


def popularity(store: TimelineStore, before_s: int, days: float) -> np.ndarray:
    """Positives of each item [I + 1] in the last ``days``."""
    flags, time_s = np.asarray(store.flags), np.asarray(store.time_s).astype(np.int64)
    wanted = ((flags & ActionFlag.POSITIVE) != 0) & (time_s <= before_s)
    wanted &= time_s > before_s - days * DAY_S
    wanted &= (flags & ActionFlag.TIME_UNKNOWN) == 0
    count = np.bincount(store.item[wanted], minlength=store.meta.item_count + 1)
    return count.astype(np.float32)


def popular_recalls(
    store: TimelineStore,
    before_s: int,
    days: float,
    owner: np.ndarray,
    item: np.ndarray,
    users: int,
) -> np.ndarray:
    """Recall@10 per user of the most popular items of the last ``days``."""
    table = popularity(store, before_s, days)
    return recalls(lambda numbers: np.tile(table, (len(numbers), 1)), owner, item, users)


@torch.no_grad()
def model_scores(
    fit: UserEncoderFit, store: TimelineStore, users: np.ndarray, before_s: int
) -> Scores:
    """The fit's scores of all items for ``users`` as they were before ``before_s``."""
    model, device = fit.model.eval(), fit.worker.device
    length = fit.config.network.history_length
    count = store.meta.item_count + 1
    vectors = torch.zeros(len(users), fit.config.network.dim)
    for first in range(0, len(users), 1024):
        part = users[first : first + 1024]
        positions = newest_positions(store, part, before_s, length)
        histories, row = pack(read_histories(store, positions))
        histories = histories.to(device)
        vectors[first + row] = model(histories, histories.last_token()).cpu()
    item = torch.arange(count, device=device)
    items = torch.cat([model.embed_items(part) for part in item.split(8192)]).cpu()
    return lambda numbers: (vectors[numbers] @ items.T).numpy()


def paired(difference: np.ndarray, draws: int = 1000) -> tuple[float, float, float]:
    """Mean and 95 % interval of a paired difference, users drawn."""
    pick = np.random.default_rng(0).integers(len(difference), size=(draws, len(difference)))
    low, high = np.quantile(difference[pick].mean(1), [0.025, 0.975])
    return float(difference.mean()), float(low), float(high)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What every configuration of the grid is fitted on and judged by."""

    store: TimelineStore
    items: np.ndarray  # float32 [I + 1, F]
    before_s: int
    until_s: int
    held_out: np.ndarray  # user indices
    train_users: np.ndarray
    device: str
    precision: str


def run(trial: Trial, grid: list[dict]) -> list[dict]:
    """Fit every entry of the grid; print and return its Recall@10 beside popularity's."""
    judged = len(trial.held_out)
    owner, item = truth(trial.store, trial.held_out, trial.before_s, trial.until_s)
    spans = (1, 2, 3, 7, 28)
    popular = {
        d: popular_recalls(trial.store, trial.before_s, d, owner, item, judged) for d in spans
    }
    best = max(spans, key=lambda d: popular[d].mean())
    for days in spans:
        print(f"popular of the last {days:>2} days   R@10 {popular[days].mean():.4f}", flush=True)
    print(f"{len(np.unique(owner)):,} held-out users with {len(item):,} positives", flush=True)
    results = []
    for entry in grid:
        started, cpu = time.monotonic(), time.process_time()
        curve = fitted(trial, entry, owner, item)
        value = curve[-1][2]
        mean, low, high = paired(value - popular[best])
        result = {
            "name": entry["name"],
            "recall": float(value.mean()),
            "popular": popular[best].mean(),
            "difference": [mean, low, high],
            "curve": [c[:2] for c in curve],
            "wall_s": time.monotonic() - started,
            "cpu_s": time.process_time() - cpu,
            "config": {k: v for k, v in entry.items() if k != "name"},
        }
        results.append(result)
        print(
            f"{entry['name']:<40} R@10 {value.mean():.4f}  minus popular ({best} d) {mean:+.4f} "
            f"[{low:+.4f}, {high:+.4f}]  {result['wall_s']:.0f} s",
            flush=True,
        )
    return results


def fitted(
    trial: Trial, entry: dict, owner: np.ndarray, item: np.ndarray
) -> list[tuple[int, float, np.ndarray]]:
    """Fit one entry; (step, mean, per user) of Recall@10 every ``eval_every`` steps and last."""
    fit = UserEncoderFit(
        config_from(entry),
        trial.store,
        trial.items if entry.get("items", True) else trial.items[:, :0],
        trial.train_users,
        before_s=trial.before_s,
        worker=Worker(device=trial.device),
        precision=trial.precision,
    )
    every = entry.get("eval_every", fit.config.steps)
    curve: list[tuple[int, float, np.ndarray]] = []

    def watch(metrics: dict[str, float], _: Path | None) -> None:
        if fit.step % every == 0 or fit.step == fit.config.steps:
            scores = model_scores(fit, trial.store, trial.held_out, trial.before_s)
            value = recalls(scores, owner, item, len(trial.held_out))
            curve.append((fit.step, round(float(value.mean()), 4), value))
            print(
                f"   {entry['name']}  step {fit.step}  loss {metrics['loss']:.3f}  "
                f"tau {metrics['temperature']:.3f}  R@10 {value.mean():.4f}",
                flush=True,
            )

    run_fit(fit, report=watch)
    return curve


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("grid", type=Path)
    parser.add_argument("--items", type=Path)
    parser.add_argument("--before-s", type=int)
    parser.add_argument("--until-s", type=int)
    parser.add_argument("--held-out", type=float, default=0.3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    store = PlainStore(args.store)
    count = store.meta.item_count + 1
    items = np.load(args.items) if args.items else np.zeros((count, 0), dtype=np.float32)
    until_s = args.until_s or int(np.asarray(store.time_s).max())
    before_s = args.before_s or until_s - 4 * DAY_S
    grid = json.loads(args.grid.read_text())
    users = np.flatnonzero(np.asarray(store.length) > 0)
    out = keyed_uniform(SALT, users) < args.held_out
    trial = Trial(
        store=store,
        items=items,
        before_s=before_s,
        until_s=until_s,
        held_out=users[out],
        train_users=users[~out],
        device=args.device,
        precision=args.precision,
    )
    results = run(trial, grid)
    if args.out:
        args.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
