"""One worker of a fit of rankers in a process of its own: ``one_of_many.py FOLDER RANK SIZE``.

Reads FOLDER/store and FOLDER/set, writes FOLDER/SIZE-RANK.pt. Run by test_fit_ranker.py.
"""

import sys
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from homefeed.data.sequences import SequenceStore
from homefeed.data.training_set import TrainingSet
from homefeed.models.config import TransActConfig, variant
from homefeed.models.ranker_batch import ItemTables
from homefeed.training.fit_ranker import RankerFit
from homefeed.training.ranker_config import RankerFitConfig
from homefeed.training.workers import Worker, sum_scalar

SMALL = TransActConfig(item_dim=4, action_dim=4, ffn_dim=8, first_k=3, output_dim=6, dropout=0.3)
CONFIG = RankerFitConfig(
    rankers=(
        variant("full", user_vector="none", transact=SMALL, hidden=(8,), dropout=0.3),
        variant("no_sequence", user_vector="none", transact=SMALL, hidden=(8,), dropout=0.3),
    ),
    batch_rows=90,
    shard_rows=13,  # shards do not divide evenly among two workers
    learning_rate=0.01,
    level_epochs=0.1,
)
STEPS = 6


def tables(items: int) -> ItemTables:
    vectors = np.random.default_rng(1).normal(size=(items + 1, 8)).astype(np.float32)
    return ItemTables(vectors=vectors, match={})


def main(folder: Path, rank: int, size: int) -> None:
    torch.set_num_threads(1)
    if size > 1:
        dist.init_process_group(
            "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=size
        )
    store = SequenceStore.open(folder / "store")
    worker = Worker(rank=rank, size=size)
    fit = RankerFit(
        CONFIG,
        TrainingSet.open(folder / "set"),
        store,
        tables(store.meta.item_count),
        worker=worker,
    )
    losses = []
    for _ in range(STEPS):
        shares = fit.train_step()
        losses.append([sum_scalar(share, worker) for share in shares.values()])
    weights = {n: r.state_dict() for n, r in fit.rankers.items()}
    torch.save({"losses": losses, "weights": weights}, folder / f"{size}-{rank}.pt")
    if size > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
