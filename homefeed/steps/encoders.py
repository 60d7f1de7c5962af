"""Fit the user encoders, and evaluate PinnerFormer beside its baselines.

The folder of user encoders that these steps pass on holds ``pinnerformer`` and ``mean_recent``
(the control of the A/B test).
"""

import dataclasses
from pathlib import Path

import numpy as np

from homefeed.artifacts import read_json, write_json, writing
from homefeed.clock import DAY_S
from homefeed.data.contract import Dataset
from homefeed.data.items import load_items
from homefeed.data.sequences import SequenceStore
from homefeed.evaluation.baselines import OwnMostFrequent, RecentPopularity
from homefeed.evaluation.cases import build_cases
from homefeed.evaluation.evaluate import evaluate_all
from homefeed.evaluation.index import topics_of
from homefeed.evaluation.scorers import EncoderModel
from homefeed.models.config import MEAN_RECENT, PINNERFORMER, USER_ENCODERS
from homefeed.models.item_encoders import ItemEncoder
from homefeed.models.user_encoders import EncoderOrigin, MeanRecentEncoder, load_user_encoder
from homefeed.recipes import read_config, read_section
from homefeed.report.pieces_models import evaluation_piece, training_piece
from homefeed.steps.cuts import held_out, recipe_timeline
from homefeed.steps.fits import fit_run, forget_fit, log_fit, register_folder
from homefeed.steps.ledger import tracking_of
from homefeed.training.ray_user_encoder import train_user_encoder_with_ray
from homefeed.training.tracking import Tracking


def user_encoder_step(
    store_path: Path,
    items: Path,
    sequences: str,
    user_encoder: str,
    config: str,
    code_version: str,
    out: Path,
    piece: Path,
) -> None:
    """Train PinnerFormer on Ray and make the control; track and register both."""
    settings, where = read_section("user_encoder", user_encoder), read_config(config)
    split = read_section("sequences", sequences)
    store, item_encoder = SequenceStore.open(store_path), ItemEncoder.open(items)
    before_s = recipe_timeline(store, split).t0_s
    train_users = np.flatnonzero(~held_out(store, split) & (np.asarray(store.length) > 0))
    settings = settings.for_users(len(train_users))
    identity = {
        **{"settings": user_encoder, "split": sequences, "code": code_version},
        **{"store": store.meta.content_hash, "items": item_encoder.hash},
        "precision": where.training.precision,
    }
    run, tracking = fit_run(where, "user-encoder", identity), tracking_of(where)
    tags = {"store": store.meta.content_hash, "code_version": code_version}
    with (
        writing(out) as beside,
        tracking.run("user encoder", dataclasses.asdict(settings), tags) as tracked,
    ):
        beside.mkdir()
        metrics = train_user_encoder_with_ray(
            settings,
            store_path,
            item_encoder.vectors,
            beside / PINNERFORMER,
            train_users=train_users,
            before_s=before_s,
            run=run,
            item_encoder_hash=item_encoder.hash,
            code_version=code_version,
        )
        log_fit(tracked, metrics)
        origin = load_user_encoder(beside / PINNERFORMER).origin
        control_encoder(item_encoder, origin).save(beside / MEAN_RECENT)
        versions = _registered(tracking, beside, tracked.run_id)
        versions["item_encoder"] = register_folder(
            tracking, "item_encoder", items, item_encoder.hash, tracked.run_id
        )
        write_json(beside / "versions.json", versions)
    forget_fit(run, where)
    training_piece("User encoder: PinnerFormer", metrics).save(piece)
    last = metrics[-1]
    print(f"= loss {last['loss']:.3f}, {last['users_per_second']:.0f} users/s")


def evaluate_step(
    checked: Path,
    store_path: Path,
    items: Path,
    encoders: Path,
    sequences: str,
    evaluation: str,
    out: Path,
    piece: Path,
) -> None:
    """Evaluate PinnerFormer and three baselines on the same held-out users, after the cut-off."""
    settings, split = read_section("evaluation", evaluation), read_section("sequences", sequences)
    store, item_encoder = SequenceStore.open(store_path), ItemEncoder.open(items)
    timeline = recipe_timeline(store, split)
    table = load_items(Dataset.open(checked), store.items)
    horizon_s = min(round(settings.horizon_days * DAY_S), timeline.t2_s - timeline.t0_s)
    cases = build_cases(
        store,
        cutoff_s=timeline.t0_s,
        horizon_s=horizon_s,
        users=np.flatnonzero(held_out(store, split)),
        item_table=table,
    )
    models = [
        EncoderModel(load_user_encoder(encoders / PINNERFORMER), "PinnerFormer"),
        RecentPopularity(),
        EncoderModel(load_user_encoder(encoders / MEAN_RECENT), "mean of recent items"),
        OwnMostFrequent(),
    ]
    topics = topics_of(table, item_encoder.vectors)
    found = evaluate_all(models, store, cases, settings, topics)
    with writing(out) as beside:
        beside.mkdir()
        for one in found:
            one.save(beside / one.report.model.replace(" ", "_"))
    made = evaluation_piece(found)
    made.save(piece)
    for figure in made.figures:
        print(f"= {figure.name}: {figure.value}  {figure.note}")


def _registered(tracking: Tracking, encoders: Path, run_id: str) -> dict[str, int]:
    """Versions of both user encoders; the same encoder stays one version."""
    hashes = {kind: read_json(encoders / kind / "encoder.json")["hash"] for kind in USER_ENCODERS}
    return {
        kind: register_folder(tracking, "user_encoder", encoders / kind, content_hash, run_id)
        for kind, content_hash in hashes.items()
    }


def control_encoder(items: ItemEncoder, origin: EncoderOrigin) -> MeanRecentEncoder:
    """The mean of recent positives' vectors, among the last 100 actions by default."""
    return MeanRecentEncoder(items=items.vectors, origin=origin)
