"""Step *append*: the day goes into the sequence store; what is there already is counted."""

from kfp import dsl

from components.component import component


@component
def append_day(
    day: dsl.Input[dsl.Dataset], code_version: str, appended: dsl.Output[dsl.Artifact]
) -> None:
    """Append the checked day."""
    from pathlib import Path

    from homefeed.steps.daily import append_step

    append_step(Path(day.path), Path(appended.path))
