"""Step *evaluate*: HIT@3, AUC and calibration per head, on a later window than training."""

from kfp import dsl

from components.component import component


@component
def evaluate_rankers(
    checked: dsl.Input[dsl.Dataset],
    store: dsl.Input[dsl.Artifact],
    items: dsl.Input[dsl.Model],
    encoders: dsl.Input[dsl.Model],
    training_set: dsl.Input[dsl.Dataset],
    rankers: dsl.Input[dsl.Model],
    code_version: str,
    evaluations: dsl.Output[dsl.Artifact],
    piece: dsl.Output[dsl.Artifact],
) -> None:
    """Evaluate every ranker beside the popularity ranker."""
    from pathlib import Path

    from homefeed.steps.ranking import evaluate_rankers_step

    evaluate_rankers_step(
        Path(checked.path),
        Path(store.path),
        Path(items.path),
        Path(encoders.path),
        Path(training_set.path),
        Path(rankers.path),
        Path(evaluations.path),
        Path(piece.path),
    )
