"""The release manifest: one immutable record, one content hash, over everything that must agree.

A release names its item encoder, user encoder and ranker by content; two releases with the same
parts are the same release, wherever the parts lie and whatever the registry called them.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homefeed.artifacts import fingerprint, hash_json, read_json
from homefeed.errors import ArtifactError, ReleaseError
from homefeed.schema import RELEASE_VERSION

PART_NAMES = ("item_encoder", "user_encoder", "ranker")
SHORT = 8  # hexadecimal digits of a hash that names folders, feature views and feature services


@dataclass(frozen=True, kw_only=True)
class Part:
    """One artifact of a release: a file or a folder that was written once."""

    name: str  # registered model that it is a version of
    version: int  # of that registered model; 0 where it was not registered
    hash: str  # the artifact's own hash, as its maker declares it
    uri: str  # path, relative to the workspace where it lies inside
    fingerprint: str  # over names and bytes on disk (homefeed.artifacts.fingerprint)

    @classmethod
    def of(cls, path: Path, *, name: str, version: int, hash: str, workspace: Path) -> "Part":
        """Describe the artifact at ``path``. Raises ArtifactError where there is none."""
        path, workspace = Path(path).resolve(), Path(workspace).resolve()
        inside = path.is_relative_to(workspace)
        uri = str(path.relative_to(workspace)) if inside else str(path)
        return cls(name=name, version=version, hash=hash, uri=uri, fingerprint=fingerprint(path))

    def path(self, workspace: Path) -> Path:
        """Where the artifact lies, seen from ``workspace``."""
        return Path(workspace) / self.uri  # an absolute uri stands for itself

    def verify(self, workspace: Path) -> None:
        """Raise ArtifactError unless the bytes on disk are those that were registered."""
        path = self.path(workspace)
        if not path.exists():
            raise ArtifactError(
                f"{self.name} version {self.version} is missing: {path} does not exist; restore "
                "it or train it again"
            )
        found = fingerprint(path)
        if found != self.fingerprint:
            raise ArtifactError(
                f"{self.name} version {self.version} at {path} was changed: its bytes hash to "
                f"{found}, the release was made with {self.fingerprint}; restore it"
            )


@dataclass(frozen=True, kw_only=True)
class ReleaseManifest:
    """Everything that must travel together."""

    item_encoder: Part
    user_encoder: Part
    ranker: Part
    preprocessing_hash: str  # how raw actions become model input
    users_hash: str  # user vocabulary
    items_hash: str  # item vocabulary
    dataset: str  # which log: releases of two logs do not compare
    dataset_fingerprint: str
    code_version: str
    realtime: bool  # whether actions after the last publish are merged into the sequence
    heads: tuple[str, ...]  # one per label that the ranker predicts

    @property
    def release_hash(self) -> str:
        """16 hexadecimal digits over the content; places and version numbers do not count."""
        values = dataclasses.asdict(self)
        for name in PART_NAMES:
            del values[name]["uri"], values[name]["version"]
        return hash_json({"schema": RELEASE_VERSION, **values})

    @property
    def feature_service(self) -> str:
        """The Feast feature service that pins this release's feature views."""
        return f"release_{self.release_hash[:SHORT]}"

    @property
    def parts(self) -> dict[str, Part]:
        """The artifacts by role."""
        return {name: getattr(self, name) for name in PART_NAMES}

    def verify(self, workspace: Path) -> None:
        """Raise ArtifactError for a part that changed, ReleaseError for parts that disagree."""
        for part in self.parts.values():
            part.verify(workspace)
        for role, field, wanted in self._agreements():
            found = _declared(self.parts[role].path(workspace), field)
            if found is not None and found != wanted:
                raise ReleaseError(
                    f"the parts of release {self.release_hash[:SHORT]} do not agree: its {role} "
                    f"was made with {field} {found}, the release holds {wanted}; train the "
                    f"{role} on the release's own parts"
                )

    def _agreements(self) -> Iterator[tuple[str, str, str]]:
        """(role, field of its descriptor, the value that it must have)."""
        for role, part in self.parts.items():
            yield role, "hash", part.hash
        yield "item_encoder", "items_hash", self.items_hash
        yield "user_encoder", "items_hash", self.items_hash
        yield "user_encoder", "item_encoder_hash", self.item_encoder.hash
        yield "ranker", "item_encoder_hash", self.item_encoder.hash
        yield "ranker", "user_encoder_hash", self.user_encoder.hash

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the hash and the feature service that follow from them."""
        return {
            "schema": RELEASE_VERSION,
            "release_hash": self.release_hash,
            "feature_service": self.feature_service,
            **dataclasses.asdict(self),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "ReleaseManifest":
        """Read what ``to_json`` wrote. Raises ReleaseError where the hash does not fit."""
        values = dict(values)
        schema, declared = values.pop("schema", None), values.pop("release_hash", None)
        values.pop("feature_service", None)
        if schema != RELEASE_VERSION:
            raise ReleaseError(
                f"release manifest has schema {schema}, this program reads {RELEASE_VERSION}; "
                "make the release again"
            )
        try:
            parts = {name: Part(**values.pop(name)) for name in PART_NAMES}
            manifest = cls(**parts, **{**values, "heads": tuple(values["heads"])})
        except (KeyError, TypeError) as error:
            raise ReleaseError(f"release manifest is not complete: {error}") from None
        if manifest.release_hash != declared:
            raise ReleaseError(
                f"release manifest was changed: its content hashes to {manifest.release_hash}, "
                f"it says {declared}"
            )
        return manifest


def _declared(path: Path, field: str) -> str | None:
    """What an artifact's own descriptor says about ``field``; None where it says nothing.

    A part's descriptor is the JSON file beside its arrays, where ``bound_to`` may hold what the
    part was trained with; makers that leave a field out are held to their bytes alone.
    """
    if not path.is_dir():
        return None
    for file in sorted(path.glob("*.json")):
        values = read_json(file)
        for level in (values, values.get("bound_to") or {}) if isinstance(values, dict) else ():
            if field in level:
                return level[field]
    return None
