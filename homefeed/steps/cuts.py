"""How a recipe cuts a log: its days into those of each fit, its users into fitted and held out."""

import numpy as np

from homefeed.data.sequences import SequenceStore
from homefeed.data.splits import Timeline, held_out_users, timeline_for
from homefeed.errors import DatasetError
from homefeed.recipes import SequencesRecipe

HELD_OUT_SALT = "held-out"


def recipe_timeline(store: SequenceStore, settings: SequencesRecipe) -> Timeline:
    """How the recipe cuts the store's span."""
    return timeline_for(
        store, evaluation_days=settings.evaluation_days, ranker_days=settings.ranker_days
    )


def held_out(store: SequenceStore, settings: SequencesRecipe) -> np.ndarray:
    """Mask bool[U+1] over user indices: the users that no encoder is fitted on.

    Raises DatasetError where nobody is left to fit on, or nobody to judge with.
    """
    users = np.arange(1, store.meta.user_count + 1)
    mask = np.zeros(store.meta.user_count + 1, bool)
    mask[1:] = held_out_users(users, settings.held_out_share, HELD_OUT_SALT, store=store)
    if mask[1:].all() or not mask.any():
        raise DatasetError(
            f"of the log's {len(users)} users {mask.sum()} are held out; encoders need one or more "
            "users to learn from and to be judged with: give a log of more users, or another "
            "sequences.held_out_share"
        )
    return mask
