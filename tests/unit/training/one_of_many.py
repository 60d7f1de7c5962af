"""One worker of a fit in a process of its own: ``one_of_many.py FOLDER RANK SIZE``.

Reads FOLDER/store.pickle (columns), writes FOLDER/SIZE-RANK.pickle. Run by test_workers.py.
"""

import pickle
import sys
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from homefeed.models.config import PinnerFormerConfig
from homefeed.training.fit_user_encoder import UserEncoderFit, run_fit
from homefeed.training.user_encoder_config import UserEncoderConfig
from homefeed.training.workers import Worker, gather_rows, sum_gradients, sum_scalar

BEFORE_S = 1_600_000_000 + 35 * 86_400
CONFIG = UserEncoderConfig(
    network=PinnerFormerConfig(
        dim=8,
        width=16,
        layers=2,
        heads=2,
        history_length=10,
        id_embedding_dim=8,
        item_hidden=16,
        dropout=0.3,
        id_dropout=0.2,
    ),
    steps=6,
    batch_users=9,  # does not divide by two
    positions_per_user=4,
    num_negatives=12,
    max_in_batch=15,  # below the positives of a batch: the cap is at work
    warmup_steps=2,
    sketch_width=1 << 12,
    report_every=1,
    learning_rate=0.01,
)


class Columns:
    """A store's columns."""

    def __init__(self, columns: dict) -> None:
        vars(self).update(columns)

    def available_s(self, rows: np.ndarray) -> np.ndarray:
        ended = self.time_s[rows] + np.ceil(self.duration[rows]).astype(np.int64)
        return ended + self.arrival_delay_s[rows]


def fitted(store: Columns, worker: Worker, users: np.ndarray) -> dict:
    vectors = np.random.default_rng(0).normal(size=(41, 3)).astype(np.float32)
    fit = UserEncoderFit(CONFIG, store, vectors, users, before_s=BEFORE_S, worker=worker)
    first = {k: v.numpy().copy() for k, v in fit.model.state_dict().items()}
    losses = [m["loss"] for m in run_fit(fit, show=False)]
    weights = {k: v.numpy() for k, v in fit.model.state_dict().items()}
    scale = float(fit.log_scale.detach())
    return {"losses": losses, "first": first, "weights": weights, "log_scale": scale}


def collectives(worker: Worker) -> dict:
    """Gather five rows, doubled; the loss of every worker reads all of them."""
    rows = torch.arange(10.0).view(5, 2).requires_grad_()
    everything = gather_rows(rows[worker.share(5)] * 2, 5, worker)
    (everything * (rows.detach() + 100 * worker.rank)).sum().backward()
    used, unused = torch.nn.Parameter(torch.zeros(3)), torch.nn.Parameter(torch.zeros(2))
    (used * (worker.rank + 1)).sum().backward()
    if worker.rank == 0:
        unused.grad = torch.ones(2)
    sum_gradients([used, unused], worker)
    return {
        "rows": everything.detach().numpy(),
        "grad": rows.grad.numpy(),
        "used": used.grad.tolist(),
        "unused": unused.grad.tolist(),
        "total": sum_scalar(torch.tensor(float(worker.rank + 1)), worker),
    }


def main(folder: Path, rank: int, size: int) -> None:
    torch.set_num_threads(1)
    if size > 1:
        dist.init_process_group(
            "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=size
        )
    worker = Worker(rank=rank, size=size)
    store = Columns(pickle.loads((folder / "store.pickle").read_bytes()))
    found = {"fit": fitted(store, worker, np.arange(1, 25))}
    found["one user"] = fitted(store, worker, np.array([1]))
    if size > 1:
        found["collectives"] = collectives(worker)
        dist.destroy_process_group()
    (folder / f"{size}-{rank}.pickle").write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
