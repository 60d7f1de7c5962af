"""Put what must agree together: one release per arm, registered; the first becomes champion."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homefeed.artifacts import hash_json, read_json, write_json
from homefeed.data.sequences import SequenceStore
from homefeed.errors import ReleaseError
from homefeed.models.config import MEAN_RECENT, PINNERFORMER
from homefeed.models.ranker_description import RANKER_VERSION, describe_ranker
from homefeed.recipes import read_config
from homefeed.release.manifest import Part, ReleaseManifest
from homefeed.release.registry import ReleaseRegistry
from homefeed.report.piece import Figure, Piece, Table
from homefeed.schema import ITEM_ENCODER_VERSION, USER_ENCODER_VERSION
from homefeed.steps.ledger import acting_registry, tracking_of
from homefeed.steps.lineage import log_name
from homefeed.steps.sequences import SEQUENCE_LENGTH
from homefeed.training.ranker_recipe import CONTROL, REALTIME
from homefeed.training.tracking import Tracking

MODELS = "models"  # copies of what an MLflow server keeps: releases outlive a pod's own disk


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What an arm of the run's A/B test serves."""

    name: str
    ranker: str  # variant
    encoder: str
    realtime: bool


ARMS = (
    Arm(name="control", ranker=CONTROL, encoder=MEAN_RECENT, realtime=False),
    Arm(name="pinnerformer", ranker="pinnerformer", encoder=PINNERFORMER, realtime=False),
    Arm(name="realtime", ranker=REALTIME, encoder=PINNERFORMER, realtime=True),
)


def releases_step(
    checked: Path,
    store_path: Path,
    items: Path,
    encoders: Path,
    rankers: Path,
    config: str,
    code_version: str,
    out: Path,
    piece: Path,
    run: str = "",
) -> list[ReleaseManifest]:
    """Register one release per arm; control becomes champion where none could serve this log."""
    where = read_config(config)
    store = SequenceStore.open(store_path)
    registry, tracking = acting_registry(where, checked, run), tracking_of(where)
    manifests, rows = [], []
    for arm in ARMS:
        described = describe_ranker(rankers / arm.ranker)
        manifest = ReleaseManifest(
            **_parts(arm, tracking, where.workspace, items, encoders, rankers),
            preprocessing_hash=hash_json(
                {"sequence": SEQUENCE_LENGTH, "inputs": described.inputs.__dict__}
            ),
            users_hash=store.meta.users_hash,
            items_hash=store.meta.items_hash,
            dataset=log_name(checked, store),
            dataset_fingerprint=store.meta.dataset_fingerprint,
            code_version=code_version,
            realtime=arm.realtime,
            heads=described.inputs.heads,
        )
        version = registry.register(manifest)
        manifests.append(manifest)
        rows.append({"arm": arm.name, "release": version, "hash": manifest.release_hash})
    if reason := why_first(registry, manifests[0].dataset):
        registry.promote(rows[0]["release"], reason)
    registry.set_challenger(rows[-1]["release"], "goes into the A/B test")
    write_json(out, {"arms": rows, "champion": registry.champion()})
    _tell(rows, registry.champion(), piece)
    return manifests


def _parts(
    arm: Arm, tracking: Tracking, workspace: Path, items: Path, encoders: Path, rankers: Path
) -> dict[str, Part]:
    """The registered models that an arm serves with, by their role in its manifest."""
    encoder_versions = read_json(encoders / "versions.json")
    ranker_versions = read_json(rankers / "versions.json")
    encoder, ranker = encoders / arm.encoder / "encoder.json", rankers / arm.ranker / "ranker.json"
    made = {
        "item_encoder": (encoder_versions["item_encoder"], items / "item_encoder.json"),
        "user_encoder": (encoder_versions[arm.encoder], encoder),
        "ranker": (ranker_versions[arm.ranker], ranker),
    }
    return {
        model: Part.of(
            tracking.download(model, version, to=workspace / MODELS),
            name=model,
            version=version,
            hash=read_json(described)["hash"],
            workspace=workspace,
        )
        for model, (version, described) in made.items()
    }


def _tell(rows: list[dict[str, Any]], champion: int | None, piece: Path) -> None:
    """Say which release each arm has, on the page and in the log."""
    text = ", ".join(f"{row['arm']} = {row['release']}" for row in rows)
    stands = f"champion {champion} until the verdict"
    Piece(
        title="Releases",
        figures=[Figure(name="releases", value=text, note=stands)],
        tables=[Table(title="One release per arm", rows=rows)],
    ).save(piece)
    print(f"= {text}; champion {champion}")


def why_first(registry: ReleaseRegistry, dataset: str) -> str:
    """Why control becomes champion without a test; empty where a champion can serve this log."""
    champion = registry.champion()
    if champion is None:
        return "the first release: there is nothing to be better than"
    try:
        manifest = registry.ledger.manifest(champion)
    except ReleaseError as error:  # of a schema that no server of this version reads
        return f"champion {champion} cannot be served: {error}"
    if manifest.dataset != dataset:
        made_from = f"champion {champion} was made from {manifest.dataset}"
        return f"the first release of {dataset}: {made_from}"
    return _of_another_version(champion, manifest, registry.workspace)


def _of_another_version(champion: int, manifest: ReleaseManifest, workspace: Path) -> str:
    """Which part of the champion this code cannot read, so that it cannot serve; empty: none.

    A part that is missing or damaged is no reason: it may be there again tomorrow.
    """
    parts = (
        (manifest.item_encoder, "item_encoder.json", ITEM_ENCODER_VERSION),
        (manifest.user_encoder, "encoder.json", USER_ENCODER_VERSION),
        (manifest.ranker, "ranker.json", RANKER_VERSION),
    )
    for part, file, reads in parts:
        described = part.path(workspace) / file
        found = read_json(described).get("version", reads) if described.is_file() else reads
        if found != reads:
            has = f"the {part.name} of champion {champion} has version {found}"
            return f"{has}, this code reads version {reads}"
    return ""
