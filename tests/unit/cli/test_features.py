"""Which id a word of the command line means."""

import pytest

from homefeed_cli.features import as_in_the_log


@pytest.mark.parametrize("written", ["²", "007", "٤٢", "-", "--5", "-0", "-0x1", "", "用户", "1.0"])
def test_what_is_not_written_as_a_number_is_a_text_and_never_an_error(written):
    assert as_in_the_log(written, is_text=False) == written


def test_a_whole_number_is_a_number_unless_it_is_said_to_be_text():
    assert as_in_the_log("-42", is_text=False) == -42
    assert as_in_the_log("0", is_text=False) == 0
    assert as_in_the_log("42", is_text=True) == "42"
