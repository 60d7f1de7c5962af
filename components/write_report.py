"""Step *report*: the pieces of all steps on one page that opens from disk."""

from kfp import dsl

from components.component import component


@component
def write_report(
    data: str,
    checked: dsl.Input[dsl.Artifact],
    sequences: dsl.Input[dsl.Artifact],
    training: dsl.Input[dsl.Artifact],
    evaluation: dsl.Input[dsl.Artifact],
    embeddings: dsl.Input[dsl.Artifact],
    published: dsl.Input[dsl.Artifact],
    training_set: dsl.Input[dsl.Artifact],
    ranking: dsl.Input[dsl.Artifact],
    releases: dsl.Input[dsl.Artifact],
    gate: dsl.Input[dsl.Artifact],
    abtest: dsl.Input[dsl.Artifact],
    promotion: dsl.Input[dsl.Artifact],
    code_version: str,
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Artifact],
) -> None:
    """Write report and summary."""
    from pathlib import Path

    from homefeed.steps.reports import report_step

    pieces = [checked, sequences, training, evaluation, embeddings, published]
    pieces += [training_set, ranking, releases, gate, abtest, promotion]
    report_step(
        [Path(piece.path) for piece in pieces],
        f"Homefeed: the lifecycle on {Path(data).name}",
        f"code {code_version}",
        Path(report.path),
        Path(summary.path),
    )
