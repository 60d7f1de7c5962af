"""Step *embeddings*: dated snapshots of every live encoder, by Ray Data, and their indexes."""

from kfp import dsl

from components.component import component


@component
def embed_snapshots(
    checked: dsl.Input[dsl.Dataset],
    store: dsl.Input[dsl.Artifact],
    encoders: dsl.Input[dsl.Model],
    sequences: str,
    config: str,
    code_version: str,
    snapshots: dsl.Output[dsl.Artifact],
    piece: dsl.Output[dsl.Artifact],
) -> None:
    """Embed users as daily runs would have, from before the ranker's days to the log's end."""
    from pathlib import Path

    from homefeed.steps.snapshots import snapshots_step

    snapshots_step(
        Path(checked.path),
        Path(store.path),
        Path(encoders.path),
        sequences,
        config,
        Path(snapshots.path),
        Path(piece.path),
    )
