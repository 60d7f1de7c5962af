"""Fit the item encoder: its vectors are in the user encoder's item tower, and are the control's."""

from pathlib import Path

from homefeed.data.contract import Dataset
from homefeed.data.sequences import SequenceStore
from homefeed.errors import ConfigError
from homefeed.models.item_encoders import fit_item_encoder
from homefeed.recipes import read_section
from homefeed.steps.cuts import held_out, recipe_timeline


def item_encoder_step(
    checked: Path, store_path: Path, sequences: str, item_encoder: str, out: Path
) -> None:
    """Fit the recipe's item encoder at ``out``.

    Raises DatasetError for too few users, ConfigError where no item gets a vector.
    """
    settings = read_section("item_encoder", item_encoder)
    store = SequenceStore.open(store_path)
    before_s = recipe_timeline(store, read_section("sequences", sequences)).t0_s
    held_out(store, read_section("sequences", sequences))  # too few users are told early
    dataset = Dataset.open(checked)
    encoder = fit_item_encoder(
        settings.kind, store, dataset, before_s, dim=settings.dim, seed=settings.seed
    )
    if not encoder.dim:
        raise ConfigError(
            f"item encoder `{settings.kind}` gives the items of this data set no vectors, and the "
            "control's user vectors are means of them; set item_encoder.kind=svd or svd+content"
        )
    encoder.save(out)
    print(f"= {settings.kind}: {len(encoder.vectors) - 1:,} items, {encoder.dim} dimensions")
