"""Step *freshness*: the day is remembered as published; how old is what serving reads?"""

from kfp import dsl

from components.component import component


@component
def report_freshness(
    snapshots: dsl.Input[dsl.Artifact],
    published: dsl.Input[dsl.Artifact],
    config: str,
    code_version: str,
    freshness: dsl.Output[dsl.Artifact],
) -> None:
    """Write the freshness report."""
    from pathlib import Path

    from homefeed.steps.daily import freshness_step

    freshness_step(Path(snapshots.path), config, Path(freshness.path))
