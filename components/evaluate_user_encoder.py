"""Step *evaluate*: Recall@10 on held-out users and time, beside three baselines."""

from kfp import dsl

from components.component import component


@component
def evaluate_user_encoder(
    checked: dsl.Input[dsl.Dataset],
    store: dsl.Input[dsl.Artifact],
    items: dsl.Input[dsl.Model],
    encoders: dsl.Input[dsl.Model],
    sequences: str,
    evaluation: str,
    code_version: str,
    evaluations: dsl.Output[dsl.Artifact],
    piece: dsl.Output[dsl.Artifact],
) -> None:
    """Evaluate the user encoder and its baselines on the same cases."""
    from pathlib import Path

    from homefeed.steps.encoders import evaluate_step

    evaluate_step(
        Path(checked.path),
        Path(store.path),
        Path(items.path),
        Path(encoders.path),
        sequences,
        evaluation,
        Path(evaluations.path),
        Path(piece.path),
    )
