"""Step *analyse*: exposures and actions, or recorded lists, to a verdict."""

from kfp import dsl

from components.component import component


@component
def analyse_abtest(
    checked: dsl.Input[dsl.Dataset],
    training_set: dsl.Input[dsl.Dataset],
    evaluations: dsl.Input[dsl.Artifact],
    started: dsl.Input[dsl.Artifact],
    visits: dsl.Input[dsl.Artifact],
    abtest: str,
    config: str,
    code_version: str,
    verdict: dsl.Output[dsl.Artifact],
    piece: dsl.Output[dsl.Artifact],
) -> None:
    """Lift per metric with its interval, sample-ratio check, verdict."""
    from pathlib import Path

    from homefeed.steps.abtests import analyse_step

    analyse_step(
        Path(checked.path),
        Path(training_set.path),
        Path(evaluations.path),
        Path(started.path),
        abtest,
        config,
        Path(verdict.path),
        Path(piece.path),
    )
