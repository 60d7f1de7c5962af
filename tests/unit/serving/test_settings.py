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
        ("HOMEFEED_DURABLE_SYNC", "OFF", "give FULL or NORMAL"),
        ("HOMEFEED_SCORER_DEVICE", "gpu", "HOMEFEED_SCORER_DEVICE is 'gpu'; give one of cpu, cuda"),
        ("HOMEFEED_SCORER_PRECISION", "half", "give one of float32, bfloat16, fastest"),
        ("HOMEFEED_UTILITY", "click", "HOMEFEED_UTILITY is 'click'"),
    ],
)
def test_a_bad_value_names_its_variable(variable, value, says):
    with pytest.raises(ConfigError) as refused:
        Settings.from_env({variable: value})
    assert says in str(refused.value)


def test_utility_weights_are_read_by_head():
    assert Settings(utility="click=1, hide=-2.5").utility_weights() == {"click": 1.0, "hide": -2.5}
    assert Settings().utility_weights() == {}
