"""Which id a word of the command line means."""

import argparse

import pytest

from homefeed.abtest.definition import parse_definition
from homefeed.abtest.running import start_test
from homefeed.config import Config, StorageConfig
from homefeed.errors import ReleaseError, UsageError
from homefeed_cli.features import _version, as_in_the_log, seconds


@pytest.mark.parametrize("written", ["²", "007", "٤٢", "-", "--5", "-0", "-0x1", "", "用户", "1.0"])
def test_what_is_not_written_as_a_number_is_a_text_and_never_an_error(written):
    assert as_in_the_log(written, is_text=False) == written


def test_a_whole_number_is_a_number_unless_it_is_said_to_be_text():
    assert as_in_the_log("-42", is_text=False) == -42
    assert as_in_the_log("0", is_text=False) == 0
    assert as_in_the_log("42", is_text=True) == "42"


@pytest.mark.parametrize(
    ("written", "said"),
    [("nan", "nan is no time"), ("-5", "-5 is no time"), ("1738285200000", "milliseconds")],
)
def test_a_time_that_is_none_is_refused(written, said):
    assert seconds("1738285200") == 1738285200
    with pytest.raises(argparse.ArgumentTypeError, match=said):
        seconds(written)


@pytest.fixture
def two_tests(tmp_path):
    """The configuration of a workspace with two running tests that both have an arm ``control``."""
    for at_s, (name, other) in enumerate({"t": "wide", "u": "realtime"}.items()):
        values = {
            "name": name,
            "layer": name,
            "arms": {"control": {"release": 2 + at_s}, other: {"release": 5}},
            "primary": {"name": "requests"},
        }
        start_test(tmp_path, parse_definition(values), at_s=at_s)
    return Config(storage=StorageConfig(root=str(tmp_path)))


def test_an_arm_that_several_running_tests_have_is_refused_with_their_names(two_tests):
    with pytest.raises(UsageError) as refused:
        _version(two_tests, None, "control")
    assert str(refused.value) == (
        "2 running A/B tests have an arm 'control'; give --arm t/control or u/control"
    )
    assert _version(two_tests, None, "t/control") == 2
    assert _version(two_tests, None, "u/control") == 3


def test_an_arm_of_one_running_test_needs_no_test(two_tests):
    assert _version(two_tests, None, "realtime") == 5
    with pytest.raises(ReleaseError, match="no running A/B test has an arm 't/realtime'"):
        _version(two_tests, None, "t/realtime")
