"""Which id a word of the command line means."""

import argparse

import pytest

from homefeed_cli.features import as_in_the_log, seconds


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
