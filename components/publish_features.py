"""Step *publish*: the feature store gets the snapshots and sequences; a sample is read back."""

from kfp import dsl

from components.component import component


@component
def publish_features(
    snapshots: dsl.Input[dsl.Artifact],
    config: str,
    code_version: str,
    published: dsl.Output[dsl.Artifact],
) -> None:
    """Publish every snapshot, oldest first, and the users' last actions."""
    from pathlib import Path

    from feature_repo.publish import publish
    from homefeed.recipes import read_config
    from homefeed.steps.lineage import remember

    rows = publish(Path(snapshots.path), read_config(config), Path(published.path))
    remember(Path(snapshots.path), config)
    written = sum(row["written"] for row in rows)
    compared = sum(row["read_back"] for row in rows)
    print(f"= {written:,} rows written, {compared:,} read back bit for bit")
