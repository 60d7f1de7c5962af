from pathlib import Path

import pytest

from homefeed.errors import ConfigError
from serving.settings import Settings


def test_settings_reach_another_process_unchanged():
    settings = Settings(workspace=Path("/w"), simulated_clock=True, poll_s=0.5, candidates=500)
    assert Settings.from_env(settings.to_env()) == settings


def test_without_variables_the_defaults_hold():
    assert Settings.from_env({"HOME": "/root"}) == Settings()


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("HOMEFEED_K", "many", "HOMEFEED_K is 'many'; give a value of type int"),
        ("HOMEFEED_K", "0", "HOMEFEED_K is 0; give 1 or more"),
        ("HOMEFEED_SIMULATED_CLOCK", "maybe", "give true or false"),
        ("HOMEFEED_POPULAR_SHARE", "0.99", "sum to at most 1"),
        (
            "HOMEFEED_DURABLE_SYNC",
            "OFF",
            "HOMEFEED_DURABLE_SYNC is 'OFF'; give one of FULL, NORMAL",
        ),
        ("HOMEFEED_SCORER_DEVICE", "gpu", "HOMEFEED_SCORER_DEVICE is 'gpu'; give one of cpu, cuda"),
        ("HOMEFEED_SCORER_PRECISION", "half", "give one of float32, bfloat16, fastest"),
        ("HOMEFEED_UTILITY", "click", "HOMEFEED_UTILITY is 'click'"),
        ("HOMEFEED_UTILITY", "click=nan", "with finite weights"),
        ("HOMEFEED_UTILITY", "click=inf,like=1", "HOMEFEED_UTILITY is 'click=inf,like=1'"),
        ("HOMEFEED_UTILITY", "click=1,click=2", "each head named once"),
        ("HOMEFEED_UTILITY", "=1", "each head named once"),
        ("HOMEFEED_K", "101", "HOMEFEED_K is 101, more than HOMEFEED_MAX_K, which is 100"),
        ("HOMEFEED_MAX_K", "10", "give 10 or less, or raise HOMEFEED_MAX_K"),
        ("HOMEFEED_MAX_ACTIONS", "0", "HOMEFEED_MAX_ACTIONS is 0; give 1 or more"),
        ("HOMEFEED_HISTORY_LENGTH", "0", "HOMEFEED_HISTORY_LENGTH is 0; give 1 or more"),
        ("HOMEFEED_POLL_S", "0", "HOMEFEED_POLL_S is 0.0; give a number above 0"),
        ("HOMEFEED_POLL_S", "nan", "HOMEFEED_POLL_S is nan; give a number above 0"),
        ("HOMEFEED_FEATURES_BUDGET_MS", "-1", "HOMEFEED_FEATURES_BUDGET_MS is -1.0; give"),
        ("HOMEFEED_LOG_BUDGET_MS", "0", "HOMEFEED_LOG_BUDGET_MS is 0.0; give"),
        ("HOMEFEED_SCORER_BUDGET_MS", "inf", "HOMEFEED_SCORER_BUDGET_MS is inf; give"),
        ("HOMEFEED_SHOWN_WINDOW_S", "-1", "HOMEFEED_SHOWN_WINDOW_S is -1.0; give a number of 0"),
        ("HOMEFEED_EXPLANATIONS", "-1", "HOMEFEED_EXPLANATIONS is -1; give a number of 0 or more"),
        ("HOMEFEED_RECENT_SHARE", "nan", "HOMEFEED_RECENT_SHARE is nan; give a number of 0"),
        ("HOMEFEED_ONLINE_STORE", "dynamo", "HOMEFEED_ONLINE_STORE is 'dynamo'; give one of"),
    ],
)
def test_a_bad_value_names_its_variable(variable, value, says):
    with pytest.raises(ConfigError) as refused:
        Settings.from_env({variable: value})
    assert says in str(refused.value)


def test_utility_weights_are_read_by_head():
    assert Settings(utility="click=1, hide=-2.5").utility_weights() == {"click": 1.0, "hide": -2.5}
    assert Settings().utility_weights() == {}
