"""Step *check*: validate a data set, set bad rows aside, refuse it above the thresholds."""

from kfp import dsl

from components.component import component


@component
def check_data(
    data: str,
    data_fingerprint: str,
    world: str,
    config: str,
    code_version: str,
    checked: dsl.Output[dsl.Dataset],
    piece: dsl.Output[dsl.Artifact],
) -> None:
    """Check the data set ``data``; its fingerprint tells the cache that the data changed."""
    from pathlib import Path

    from homefeed.steps.data import check_step

    check_step(data, world, config, Path(checked.path), Path(piece.path))
