"""Step *item encoder*: vectors of all items from what was known at the encoders' cut-off."""

from kfp import dsl

from components.component import component


@component
def fit_item_encoder(
    checked: dsl.Input[dsl.Dataset],
    store: dsl.Input[dsl.Artifact],
    sequences: str,
    item_encoder: str,
    code_version: str,
    items: dsl.Output[dsl.Model],
) -> None:
    """Fit the item encoder that the recipe names."""
    from pathlib import Path

    from homefeed.steps.item_encoder import item_encoder_step

    item_encoder_step(
        Path(checked.path), Path(store.path), sequences, item_encoder, Path(items.path)
    )
