"""A release as its users see it: verified paths, and the newest snapshot of its own encoder."""

import json
import math
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from homefeed.artifacts import read_json
from homefeed.errors import ArtifactError, ReleaseError
from homefeed.release.manifest import SHORT, ReleaseManifest

META = "snapshot.json"  # a snapshot's description: a folder with it is whole


@dataclass(frozen=True, kw_only=True)
class Release:
    """One registered release whose parts were found unchanged when it was opened."""

    version: int
    manifest: ReleaseManifest
    workspace: Path

    @property
    def release_hash(self) -> str:
        """The content hash over everything in the release."""
        return self.manifest.release_hash

    @property
    def feature_service(self) -> str:
        """The Feast feature service that pins its feature views."""
        return self.manifest.feature_service

    @property
    def encoder_hash(self) -> str:
        """The user encoder's hash: names the feature view and the snapshots."""
        return self.manifest.user_encoder.hash

    @property
    def item_encoder_path(self) -> Path:
        """Folder or file of the item encoder."""
        return self.manifest.item_encoder.path(self.workspace)

    @property
    def user_encoder_path(self) -> Path:
        """Folder of the user encoder."""
        return self.manifest.user_encoder.path(self.workspace)

    @property
    def ranker_path(self) -> Path:
        """Folder of the ranker."""
        return self.manifest.ranker.path(self.workspace)

    @property
    def action_types(self) -> tuple[str, ...]:
        """The action types that its ranker reads: a server takes no others."""
        names = read_json(self.ranker_path / "ranker.json")["inputs"]["action_types"]
        return tuple(name for name in names if name)

    def newest_snapshot(self, before_s: float | None = None) -> Path:
        """The newest snapshot of this release's user encoder; see ``newest_snapshot``."""
        return newest_snapshot(self.workspace, self.encoder_hash, before_s=before_s)


def snapshots_folder(workspace: Path, encoder_hash: str) -> Path:
    """Where the dated snapshots of one user encoder lie."""
    return Path(workspace) / "snapshots" / encoder_hash[:SHORT]


def forget_snapshots(workspace: Path, encoder_hash: str, *, after_s: int) -> None:
    """Remove an encoder's snapshots of later days: its log went back to ``after_s``.

    One that does not say of which day it is stays, and is told in one line.
    """
    for file in sorted(snapshots_folder(workspace, encoder_hash).glob(f"*/{META}")):
        try:
            meta = _read_meta(file.parent)
        except ArtifactError as error:
            print(f"= left alone: {error}")
            continue
        if meta["as_of_s"] > after_s:
            file.unlink()  # first: a folder with it is whole
            shutil.rmtree(file.parent, ignore_errors=True)


def newest_snapshot(workspace: Path, encoder_hash: str, *, before_s: float | None = None) -> Path:
    """``find_snapshot``'s. Raises ReleaseError where there is none as well."""
    found = find_snapshot(workspace, encoder_hash, before_s=before_s)
    if found is None:
        raise ReleaseError(
            f"user encoder {encoder_hash} has no snapshot below "
            f"{snapshots_folder(workspace, encoder_hash)}; run `homefeed pipeline run daily`"
        )
    return found


def find_snapshot(
    workspace: Path, encoder_hash: str, *, before_s: float | None = None
) -> Path | None:
    """The newest snapshot folder of an encoder, of those with an as-of time before ``before_s``.

    Looks from the newest day backwards: a damaged one matters only where it would be the answer.
    None where there is none. Raises ReleaseError where the answer is bound to another encoder,
    ArtifactError where it cannot be read.
    """
    folders = (file.parent for file in snapshots_folder(workspace, encoder_hash).glob(f"*/{META}"))
    for folder in sorted(folders, key=lambda folder: folder.name, reverse=True):
        if folder.name.startswith("."):
            continue  # being written beside its place
        try:
            meta = _read_meta(folder)
        except ArtifactError:
            if before_s is not None and _earliest_s(folder.name) >= before_s:
                continue  # too late, whatever it held
            raise
        if before_s is None or meta["as_of_s"] < before_s:
            require_bound(folder, meta, encoder_hash)
            return folder
    return None


def _earliest_s(day: str) -> float:
    """The earliest as-of time of a snapshot's folder; minus infinity where it names no day."""
    try:
        return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() + 1
    except ValueError:
        return -math.inf


def _read_meta(folder: Path) -> dict[str, Any]:
    """What a snapshot says of itself. Raises ArtifactError where it cannot be read."""
    try:
        meta = json.loads((folder / META).read_text())
        if not isinstance(meta, dict) or not isinstance(meta.get("as_of_s"), int | float):
            raise ValueError("no number under as_of_s")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ArtifactError(
            f"{folder / META} cannot be read ({reason}); restore it, or remove {folder} and "
            "run `homefeed pipeline run daily`"
        ) from None
    return meta


def require_bound(snapshot: Path, meta: dict[str, Any], encoder_hash: str) -> None:
    """Raise ReleaseError where a snapshot was made with another user encoder."""
    found = meta.get("user_encoder_hash")
    if found != encoder_hash:
        raise ReleaseError(
            f"snapshot {snapshot} was made with user encoder {found}, this release serves with "
            f"{encoder_hash}; run `homefeed pipeline run daily` for the release's own snapshot"
        )
