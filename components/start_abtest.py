"""Step *start*: write the test's definition, wait until serving reports its arms ready."""

from kfp import dsl

from components.component import component


@component
def start_abtest(
    checked: dsl.Input[dsl.Dataset],
    releases: dsl.Input[dsl.Artifact],
    abtest: str,
    config: str,
    serving_url: str,
    code_version: str,
    started: dsl.Output[dsl.Artifact],
) -> None:
    """Start the test of this run's releases; no step holds a server."""
    from pathlib import Path

    from homefeed.steps.abtests import start_step

    start_step(
        Path(checked.path),
        Path(releases.path),
        abtest,
        config,
        Path(started.path),
        serving_url,
    )
