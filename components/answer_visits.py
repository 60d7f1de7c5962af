"""Step *visits*: the world's simulated users come to the live server; a log has nobody to ask."""

from kfp import dsl

from components.component import component


@component
def answer_visits(
    checked: dsl.Input[dsl.Dataset],
    started: dsl.Input[dsl.Artifact],
    world: str,
    abtest: str,
    code_version: str,
    visits: dsl.Output[dsl.Artifact],
) -> None:
    """Let the simulated users come for the test's days."""
    from pathlib import Path

    from homefeed.steps.visits import visits_step

    visits_step(Path(checked.path), Path(started.path), world, abtest, Path(visits.path))
