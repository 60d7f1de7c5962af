"""A finished workspace is read, never written: each life gets a copy that serves one arm only."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from homefeed.artifacts import read_json
from homefeed.config import Config, StorageConfig, TrainingConfig
from homefeed.data.world.config import WorldConfig
from homefeed.errors import ArtifactError
from homefeed.models.ranker_description import describe_ranker
from homefeed.recipes import config_json, read_section
from homefeed.release.entries import Action
from homefeed.release.ledger import Ledger
from homefeed.release.opened import newest_snapshot
from homefeed.schema import LEDGER_FILE
from homefeed.steps.lineage import Day, champions_log, newest_day, write_day
from homefeed.steps.releases import ARMS

NAME = "world"


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What a finished `homefeed run` on `world` left."""

    root: Path
    world: WorldConfig
    day: Day  # the end of the log: its data set and its sequence store
    releases: dict[str, int]  # arm → version


def finished(root: Path) -> Finished:
    """Read a workspace. ArtifactError where it holds no finished run on `world`."""
    root = Path(root).resolve()
    world = _world(root)
    log = champions_log(root)
    if log.split()[0] != NAME:  # a world's log is `world` and its fingerprint
        raise ArtifactError(
            f"{root} serves a release of the log `{log}`; give a workspace whose last run was on "
            f"`{NAME}`"
        )
    day = newest_day(root, log)
    if day.as_of_s > world.end_s or day.watermark:
        raise ArtifactError(
            f"{root} has gone on after its log (it stands at {day.as_of_s}, the log ends at "
            f"{world.end_s}); give a workspace as `homefeed run` leaves it"
        )
    return Finished(root=root, world=world, day=day, releases=_releases(root, log))


def serving_one_arm(source: Finished, version: int, out: Path) -> Config:
    """Make a workspace at ``out`` whose champion is ``version``; models stay where they are."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / "mlflow").symlink_to(source.root / "mlflow")
    shutil.copytree(source.root / "feast", out / "feast")
    manifest = Ledger(source.root / LEDGER_FILE).manifest(version)
    encoder_hash = manifest.user_encoder.hash
    snapshot = newest_snapshot(source.root, encoder_hash)
    shutil.copytree(snapshot, out / "snapshots" / snapshot.parent.name / snapshot.name)
    ledger, at_s = Ledger(out / LEDGER_FILE), source.day.as_of_s
    ledger.add_release(version, manifest, at_s=at_s)
    who = {"who": "closed loop", "reason": "one life, one arm"}
    ledger.append(Action.PROMOTE, lambda _: version, at_s=at_s, **who)
    write_day(out, source.day)
    return Config(
        storage=StorageConfig(root=str(out)),
        training=TrainingConfig(num_workers=0, embed_workers=0),
    )


def as_text(config: Config) -> str:
    """The configuration as steps take it."""
    return config_json(config)


def _world(root: Path) -> WorldConfig:
    runs = [read_json(path) for path in (root / "runs").glob("*/run.json")]
    runs = [r for r in runs if r["arguments"].get("data") == "world" and "world" in r["arguments"]]
    if not runs:
        raise ArtifactError(f"{root} holds no run on world; make one: homefeed run --recipe small")
    return read_section("world", max(runs, key=lambda r: r["started"])["arguments"]["world"])


def _releases(root: Path, log: str) -> dict[str, int]:
    """The log's newest release of each arm, told by its ranker's variant and its real time."""
    ledger, found = Ledger(root / LEDGER_FILE), {}
    for version in ledger.versions():
        manifest = ledger.manifest(version)
        if manifest.dataset != log:
            continue
        ranker = describe_ranker(manifest.ranker.path(root)).config.name
        for arm in ARMS:
            if (arm.ranker, arm.realtime) == (ranker, manifest.realtime):
                found[arm.name] = version
    missing = [arm.name for arm in ARMS if arm.name not in found]
    if missing:
        raise ArtifactError(f"{root} has no release of arm {missing[0]!r}; finish `homefeed run`")
    return found
