"""The baselines on a data set, as the evaluation step computes them: a check against known figures.

    python bench/baselines.py DATA --days 14 [--held-out 0.3] [--modes once,daily,realtime]

Recent popularity, the mean of recent items (vectors: PPMI-SVD of the log up to the cutoff) and
the user's own most frequent items, on positives of the last ``--days``.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from homefeed.clock import DAY_S
from homefeed.data.contract import resolve
from homefeed.data.items import load_items
from homefeed.data.sequences.build import build_sequences
from homefeed.data.splits import held_out_users
from homefeed.evaluation.baselines import OwnMostFrequent, RecentPopularity
from homefeed.evaluation.cases import build_cases
from homefeed.evaluation.config import EvaluationConfig
from homefeed.evaluation.evaluate import evaluate_all
from homefeed.evaluation.index import topics_of
from homefeed.evaluation.scorers import EncoderModel
from homefeed.evaluation.tables import markdown
from homefeed.models.item_encoders import fit_item_encoder
from homefeed.models.user_encoders import EncoderOrigin, MeanRecentEncoder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("data")
    parser.add_argument("--days", type=float, default=14)
    parser.add_argument("--held-out", type=float, default=0, help="share of users; 0: everybody")
    parser.add_argument("--modes", default="once")
    parser.add_argument("--recent", type=int, default=10, help="items in the mean")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="baselines-") as folder:
        print(table(options, Path(folder)), end="")


def table(options: argparse.Namespace, folder: Path) -> str:
    dataset = resolve(options.data, folder)
    store = build_sequences(dataset, folder / "store")
    cutoff_s = store.meta.last_s - round(options.days * DAY_S)
    items = load_items(dataset, store.items)
    encoder = fit_item_encoder("svd", store, dataset, cutoff_s)
    users = np.arange(1, store.meta.user_count + 1)
    if options.held_out:
        users = users[held_out_users(users, options.held_out, "baselines", store=store)]
    cases = build_cases(
        store,
        cutoff_s=cutoff_s,
        horizon_s=round(options.days * DAY_S),
        users=users,
        item_table=items,
    )
    origin = EncoderOrigin(
        items_hash=store.meta.items_hash,
        item_encoder_hash=encoder.hash,
        trained_before_s=cutoff_s,
        action_types=store.meta.action_types,
        surfaces=store.meta.surfaces,
    )
    mean = MeanRecentEncoder(items=encoder.vectors, origin=origin, recent=options.recent)
    models = [
        RecentPopularity(),
        EncoderModel(mean, f"mean of the {options.recent} latest"),
        OwnMostFrequent(),
    ]
    config = EvaluationConfig(modes=tuple(options.modes.split(",")))
    return markdown(evaluate_all(models, store, cases, config, topics_of(items, encoder.vectors)))


if __name__ == "__main__":
    main()
