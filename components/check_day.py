"""Step *check new day*: the day's rows, from the event log or a folder, checked on their own."""

from kfp import dsl

from components.component import component


@component
def check_day(
    data: str,
    data_fingerprint: str,
    date: str,
    config: str,
    code_version: str,
    day: dsl.Output[dsl.Dataset],
    piece: dsl.Output[dsl.Artifact],
) -> None:
    """Check the day; a bad one is refused and repaired by running it again."""
    from pathlib import Path

    from homefeed.steps.daily import check_day_step

    check_day_step(data, date, config, Path(day.path), Path(piece.path))
