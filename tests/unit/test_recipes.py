"""What every recipe must hold, whatever its size."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from homefeed.data.contract import resolve
from homefeed.data.splits import held_out_ids
from homefeed.data.vocabulary import typed_id
from homefeed.errors import ConfigError
from homefeed.models.config import TransActConfig, variant
from homefeed.recipes import RECIPES, SequencesRecipe, recipe
from homefeed.schema import ACTIONS, USER_ID
from homefeed.steps.cuts import HELD_OUT_SALT

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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("world.users=0", "world.users is 0; it must be at least 1"),
        ("world.warmup_days=-1", "world.warmup_days is -1; it must be at least 0"),
        ("world.seed=-1", "world: seed is -1; give 0 to 4294967295"),
        ("world.laws.drift_days=0", "world.laws: drift_days is 0.0; give more than 0"),
        ("world.laws.search_share=3", "world.laws: search_share is 3.0; give 0 to 1"),
        ("world.laws.groups=7", r"world.laws: groups is 7; give a divisor of topics \(40\)"),
        ("sequences.memory_mb=0", "sequences: memory_mb is 0; give 1 or more"),
        ("sequences.ranker_days=0", "sequences: ranker_days is 0.0; give more than 0"),
        ("sequences.evaluation_days=-1", "sequences: evaluation_days is -1.0; give more than 0"),
        ("sequences.held_out_share=3", "sequences: held_out_share is 3.0; give a share, such as"),
        ("sequences.held_out_share=0", "sequences: held_out_share is 0.0; give a share, such as"),
        ("item_encoder.kind=svdd", "kind is 'svdd'; give svd or content or svd[+]content$"),
        ("item_encoder.dim=0", "item_encoder: dim is 0; give 1 or more"),
        ("user_encoder.steps=0", "user_encoder: steps is 0; give 1 or more"),
        ("user_encoder.max_epochs=.inf", "user_encoder: max_epochs is inf; give 0 or more"),
        ("user_encoder.learning_rate=0", "user_encoder: learning_rate is 0.0; give more than 0"),
        ("user_encoder.learning_rate=.nan", "user_encoder: learning_rate is nan; give more than 0"),
        ("user_encoder.warmup_steps=-1", "user_encoder: warmup_steps is -1; give 0 or more"),
        ("user_encoder.sketch_width=3", "sketch_width is 3; give a power of two, or 0"),
        ("user_encoder.report_every=0", "user_encoder: report_every is 0; give 1 or more"),
        ("user_encoder.checkpoint_every=0", "checkpoint_every is 0; give 1 or more"),
        ("user_encoder.network.heads=0", "user_encoder.network: heads is 0; give 1 or more"),
        ("user_encoder.network.dropout=1", "dropout is 1.0; give 0 or more, and less than 1"),
        ("evaluation.horizon_days=-1", "evaluation: horizon_days is -1.0; give more than 0"),
        ("evaluation.modes=[once,oncee]", "modes is 'oncee'; give once or daily or realtime"),
        ("evaluation.modes=[oncee]", "modes is 'oncee'; give once or daily or realtime"),
        ("evaluation.modes=[daily]", r"evaluation.modes is \['daily'\]; .* \['once', 'daily'\]"),
        ("evaluation.modes=[]", r"evaluation.modes is \[\]; .* give \['once'\]"),
        ("evaluation.depths=[5]", r"evaluation.depths is \[5\]; .* needs 10: give \[10, 5\]"),
        ("evaluation.depths=[0]", "evaluation: depths is 0; give 1 or more"),
        ("evaluation.bootstrap_samples=0", "bootstrap_samples is 0; give 1 or more"),
        ("ranker.training_set.keep_negatives=0", "is 0.0; give more than 0, up to 1"),
        ("ranker.training_set.keep_negatives=7", "keep_negatives is 7.0; give more than 0, up to"),
        ("ranker.training_set.sampling.candidates=0", "candidates is 0; give 1 or more"),
        ("ranker.training_set.sampling.uniform_share=2", "uniform_share is 2.0; give 0 to 1"),
        ("ranker.training_set.sampling.max_requests=0", "max_requests is 0; give 1 or more"),
        ("ranker.fit.epochs=-1", "ranker.fit: epochs is -1.0; give more than 0"),
        ("ranker.fit.window_hours=-5", "ranker.fit: window_hours is -5.0; give 0 or more"),
        ("ranker.fit.learning_rate=-1", "ranker.fit: learning_rate is -1.0; give more than 0"),
        ("ranker.fit.warmup_share=2", "ranker.fit: warmup_share is 2.0; give 0 to 1"),
        ("ranker.fit.shard_rows=0", "ranker.fit: shard_rows is 0; give 1 or more"),
        ("ranker.fit.report_every=0", "ranker.fit: report_every is 0; give 1 or more"),
        ("ranker.fit.checkpoint_every=0", "ranker.fit: checkpoint_every is 0; give 1 or more"),
        ("abtest.days=0", "abtest: days is 0; give 1 or more"),
        ("abtest.days=-3", "abtest: days is -3; give 1 or more"),
        ("abtest.confidence=95", "abtest: confidence is 95.0; give a share, such as 0.95"),
        ("abtest.min_effect=-1", "abtest: min_effect is -1.0; give 0 or more"),
        ("abtest.bootstrap_rounds=0", "abtest: bootstrap_rounds is 0; give 100 or more"),
    ],
)
def test_a_value_that_could_only_fail_later_is_refused_with_what_to_give(
    text: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        recipe("small", (text,))
    key = text.partition("=")[0]
    assert key.rpartition(".")[2] in str(caught.value)
    assert key.partition(".")[0] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("changes", [{"dropout": 1.0}, {"hidden": (8, 0)}, {"user_dim": 0}])
def test_a_ranker_of_no_width_or_that_drops_everything_is_refused(changes: dict) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(changes))} is .*; give"):
        variant("full", **changes)


def test_a_transact_without_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="layers is 0; give 1 or more"):
        TransActConfig(layers=0)


def test_a_recipe_is_read_without_loading_torch():
    """Most steps and verbs read one, and compute no network: torch alone takes seconds."""
    code = "import sys, homefeed.recipes; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
