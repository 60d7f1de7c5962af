"""What every recipe must hold, whatever its size."""

from pathlib import Path

import polars as pl
import pytest

from homefeed.data.contract import resolve
from homefeed.data.splits import held_out_ids
from homefeed.data.vocabulary import typed_id
from homefeed.recipes import RECIPES, SequencesRecipe, recipe
from homefeed.schema import ACTIONS, USER_ID
from homefeed.steps.encoders import HELD_OUT_SALT

PUBLIC = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


@pytest.mark.parametrize("name", RECIPES)
def test_a_fit_of_the_user_encoder_leaves_checkpoints_on_its_way(name: str) -> None:
    settings = recipe(name).user_encoder
    assert settings.checkpoint_every <= settings.steps // 3


def test_a_fit_of_the_small_recipes_rankers_leaves_checkpoints_on_its_way() -> None:
    ranker = recipe("small").ranker
    rows = ranker.training_set.max_training_rows * ranker.fit.epochs
    assert ranker.fit.checkpoint_every <= rows / ranker.fit.batch_rows / 1.5


@pytest.mark.parametrize("name", ["deskdrop", "online_retail"])
def test_at_least_three_tenths_of_a_small_sets_users_are_held_out(
    name: str, tmp_path: Path
) -> None:
    if not (PUBLIC / name).is_dir():
        pytest.skip(f"{PUBLIC / name} is not there")
    users = resolve(str(PUBLIC / name), tmp_path).scan(ACTIONS).select(pl.col(USER_ID).unique())
    typed = [typed_id(user) for user in users.collect()[USER_ID].to_list()]
    share = held_out_ids(typed, SequencesRecipe().held_out_share, HELD_OUT_SALT).mean()
    assert 0.3 <= share < 0.34
