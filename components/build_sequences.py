"""Step *sequences*: one row per user, memory-mapped, built out of core."""

from kfp import dsl

from components.component import component


@component
def build_sequences(
    checked: dsl.Input[dsl.Dataset],
    sequences: str,
    code_version: str,
    store: dsl.Output[dsl.Artifact],
    piece: dsl.Output[dsl.Artifact],
) -> None:
    """Build the sequence store of a checked data set."""
    from pathlib import Path

    from homefeed.steps.data import sequences_step

    sequences_step(Path(checked.path), sequences, Path(store.path), Path(piece.path))
