"""Step *gate*: the champion is scored again on the challengers' holdout."""

from kfp import dsl

from components.component import component


@component
def gate_releases(
    checked: dsl.Input[dsl.Dataset],
    store: dsl.Input[dsl.Artifact],
    training_set: dsl.Input[dsl.Dataset],
    evaluations: dsl.Input[dsl.Artifact],
    releases: dsl.Input[dsl.Artifact],
    config: str,
    code_version: str,
    run: str,
    gate: dsl.Output[dsl.Artifact],
    piece: dsl.Output[dsl.Artifact],
) -> None:
    """Decide which arms may be promoted over the present champion."""
    from pathlib import Path

    from homefeed.steps.gates import gate_step

    gate_step(
        Path(checked.path),
        Path(store.path),
        Path(training_set.path),
        Path(evaluations.path),
        Path(releases.path),
        config,
        Path(gate.path),
        Path(piece.path),
        run,
    )
