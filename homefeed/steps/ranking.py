"""The point-in-time training set, the rankers of all arms in one fit, and their evaluation."""

from pathlib import Path

import numpy as np

from homefeed.artifacts import read_json, write_json, writing
from homefeed.data.contract import Dataset
from homefeed.data.ranking_rows import EVALUATION
from homefeed.data.sequences import SequenceStore
from homefeed.data.training_set import TrainingSet
from homefeed.evaluation.ranking import RankingReport, compare_scores, predict
from homefeed.models.config import USER_ENCODERS
from homefeed.models.item_encoders import ItemEncoder
from homefeed.models.ranker_artifact import load_ranker
from homefeed.models.ranker_batch import ItemTables
from homefeed.models.user_encoders import load_user_encoder
from homefeed.recipes import read_config, read_section
from homefeed.report.pieces_ranking import ranking_piece
from homefeed.steps.fits import fit_run, forget_fit, log_fit, register_folder
from homefeed.steps.ledger import tracking_of
from homefeed.training.ranker_batches import RankerData
from homefeed.training.ray_rankers import train_rankers_with_ray

SCORES = "scores.npz"


def item_tables(items: Path, encoders: Path) -> ItemTables:
    """Item vectors for the rankers: the item encoder's, and each user encoder's own space."""
    match = {kind: load_user_encoder(encoders / kind).item_vectors() for kind in USER_ENCODERS}
    return ItemTables(vectors=ItemEncoder.open(items).vectors, match=match)


def train_rankers_step(
    store_path: Path,
    items: Path,
    encoders: Path,
    training_set: Path,
    ranker: str,
    config: str,
    code_version: str,
    out: Path,
) -> None:
    """Train one ranker per arm in one fit; track and register them."""
    settings, where = read_section("ranker", ranker), read_config(config)
    meta = TrainingSet.open(training_set).meta
    made_from = {"set": meta.label_hash, "store": meta.sequences_hash}
    identity = {"settings": ranker, "code": code_version, **made_from}
    run = fit_run(where, "rankers", [identity, _hashes(encoders)])
    tracking = tracking_of(where)
    params = {"epochs": settings.fit.epochs, "batch_rows": settings.fit.batch_rows}
    tags = {"training_set": meta.label_hash, "code_version": code_version}
    with writing(out) as beside, tracking.run("rankers", params, tags) as tracked:
        metrics = train_rankers_with_ray(
            settings.fit,
            training_set,
            store_path,
            item_tables(items, encoders),
            beside,
            bound_to={"item_encoder_hash": ItemEncoder.open(items).hash},
            run=run,
        )
        log_fit(tracked, metrics)
        versions = {
            folder.name: register_folder(
                tracking,
                "ranker",
                folder,
                read_json(folder / "ranker.json")["hash"],
                tracked.run_id,
            )
            for folder in sorted(p for p in beside.iterdir() if p.is_dir())
        }
        write_json(beside / "versions.json", versions)
    forget_fit(run, where)
    losses = {k.removeprefix("loss_"): v for k, v in metrics[-1].items() if k.startswith("loss_")}
    print("= loss " + ", ".join(f"{name} {loss:.4f}" for name, loss in losses.items()))


def evaluate_rankers_step(
    checked: Path,
    store_path: Path,
    items: Path,
    encoders: Path,
    training_set: Path,
    rankers: Path,
    out: Path,
    piece: Path,
) -> None:
    """Score the evaluation window with every ranker, each impression at its own moment."""
    opened = TrainingSet.open(training_set)
    tables = item_tables(items, encoders)
    data = RankerData(opened, SequenceStore.open(store_path), list(USER_ENCODERS))
    requests = opened.requests_of(EVALUATION)
    loaded = {
        folder.name: load_ranker(folder).bind(tables)
        for folder in sorted(p for p in rankers.iterdir() if p.is_dir())
    }
    scores = {name: predict(each, data, requests, show=True) for name, each in loaded.items()}
    report = compare_scores(scores, opened, requests)
    with writing(out) as beside:
        beside.mkdir()
        np.savez_compressed(beside / SCORES, **scores)
        write_json(beside / "report.json", {"lists": report.lists, "figures": report.values()})
    made = ranking_piece(report, opened, judged_heads(Dataset.open(checked), report))
    made.save(piece)
    for figure in made.figures:
        print(f"= {figure.name}: {figure.value}  {figure.note}")


def judged_heads(dataset: Dataset, report: RankingReport) -> list[str]:
    """The heads to show first: the primary label and, where there are such, click and long view."""
    there = list(next(iter(report.figures.values())))
    wanted = [dataset.spec.primary_label, "click", "long_view", *there]
    return list(dict.fromkeys(head for head in wanted if head in there))


def _hashes(encoders: Path) -> list[str]:
    return [read_json(encoders / kind / "encoder.json")["hash"] for kind in USER_ENCODERS]
