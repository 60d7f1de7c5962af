"""Step *embed*: only users active that day, merged over yesterday's, for every live encoder."""

from kfp import dsl

from components.component import component


@component
def embed_day(
    appended: dsl.Input[dsl.Artifact],
    config: str,
    code_version: str,
    snapshots: dsl.Output[dsl.Artifact],
    piece: dsl.Output[dsl.Artifact],
) -> None:
    """Write the day's snapshots and indexes."""
    from pathlib import Path

    from homefeed.steps.daily import embed_day_step

    embed_day_step(Path(appended.path), config, Path(snapshots.path), Path(piece.path))
