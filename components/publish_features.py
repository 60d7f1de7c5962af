"""Step *publish*: the feature store gets the snapshots and sequences; a sample is read back."""

from kfp import dsl

from components.component import component


@component
def publish_features(
    snapshots: dsl.Input[dsl.Artifact],
    config: str,
    code_version: str,
    published: dsl.Output[dsl.Artifact],
    piece: dsl.Output[dsl.Artifact],
) -> None:
    """Publish every snapshot, oldest first, and the users' last actions."""
    from pathlib import Path

    from feature_repo.publish import publish
    from homefeed.recipes import read_config
    from homefeed.steps.publishing import published_step

    rows = publish(Path(snapshots.path), read_config(config), Path(published.path))
    published_step(rows, Path(snapshots.path), config, Path(piece.path))
