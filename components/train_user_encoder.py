"""Step *user encoder*: PinnerFormer by Ray Train, on users and time that are not held out."""

from kfp import dsl

from components.component import component


@component
def train_user_encoder(
    store: dsl.Input[dsl.Artifact],
    items: dsl.Input[dsl.Model],
    sequences: str,
    user_encoder: str,
    config: str,
    code_version: str,
    encoders: dsl.Output[dsl.Model],
    piece: dsl.Output[dsl.Artifact],
) -> None:
    """Train PinnerFormer, and make the mean-of-recent-items control beside it."""
    from pathlib import Path

    from homefeed.steps.encoders import user_encoder_step

    user_encoder_step(
        Path(store.path),
        Path(items.path),
        sequences,
        user_encoder,
        config,
        code_version,
        Path(encoders.path),
        Path(piece.path),
    )
