"""Step *promote*: what the verdict asks for; only ship promotes."""

from kfp import dsl

from components.component import component


@component
def carry_out_verdict(
    checked: dsl.Input[dsl.Dataset],
    verdict: dsl.Input[dsl.Artifact],
    gate: dsl.Input[dsl.Artifact],
    config: str,
    code_version: str,
    run: str,
    piece: dsl.Output[dsl.Artifact],
) -> None:
    """Promote, hold or roll back; the ledger keeps the reason, piece says who is champion now."""
    from pathlib import Path

    from homefeed.steps.abtests import carry_out_step

    carry_out_step(
        Path(checked.path), Path(verdict.path), Path(gate.path), config, Path(piece.path), run
    )
