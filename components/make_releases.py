"""Step *release*: one immutable release per arm, registered, with its feature service."""

from kfp import dsl

from components.component import component


@component
def make_releases(
    checked: dsl.Input[dsl.Dataset],
    store: dsl.Input[dsl.Artifact],
    items: dsl.Input[dsl.Model],
    encoders: dsl.Input[dsl.Model],
    rankers: dsl.Input[dsl.Model],
    snapshots: dsl.Input[dsl.Artifact],
    config: str,
    code_version: str,
    run: str,
    releases: dsl.Output[dsl.Artifact],
    piece: dsl.Output[dsl.Artifact],
) -> None:
    """Register the releases, and declare the feature service that each pins."""
    from pathlib import Path

    from feature_repo.publish import declare_services
    from homefeed.recipes import read_config
    from homefeed.steps.releases import releases_step

    manifests = releases_step(
        Path(checked.path),
        Path(store.path),
        Path(items.path),
        Path(encoders.path),
        Path(rankers.path),
        config,
        code_version,
        Path(releases.path),
        Path(piece.path),
        run,
    )
    declare_services(manifests, Path(snapshots.path), read_config(config))
