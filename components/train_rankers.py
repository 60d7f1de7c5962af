"""Step *rankers*: TransAct and its controls, one per arm, in one Ray Train fit."""

from kfp import dsl

from components.component import component


@component
def train_rankers(
    store: dsl.Input[dsl.Artifact],
    items: dsl.Input[dsl.Model],
    encoders: dsl.Input[dsl.Model],
    training_set: dsl.Input[dsl.Dataset],
    ranker: str,
    config: str,
    code_version: str,
    rankers: dsl.Output[dsl.Model],
) -> None:
    """Train all rankers on the same batches."""
    from pathlib import Path

    from homefeed.steps.ranking import train_rankers_step

    train_rankers_step(
        Path(store.path),
        Path(items.path),
        Path(encoders.path),
        Path(training_set.path),
        ranker,
        config,
        code_version,
        Path(rankers.path),
    )
