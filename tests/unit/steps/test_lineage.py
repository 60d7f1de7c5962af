"""The lineage of published days: each log has its own."""

import pytest

from homefeed.errors import PipelineError
from homefeed.steps.lineage import DAY_S, Day, newest_day, write_day


def _day(log: str, number: int) -> Day:
    return Day(log=log, as_of_s=number * DAY_S, checked=f"{log}-{number}", store="s")


def test_a_log_goes_on_from_its_own_newest_day(tmp_path):
    for day in (_day("world 1a2b", 9), _day("журнал/news", 5), _day("журнал/news", 6)):
        write_day(tmp_path, day)
    assert newest_day(tmp_path, "журнал/news") == _day("журнал/news", 6)
    assert newest_day(tmp_path, "журнал/news", before_s=5 * DAY_S) == _day("журнал/news", 5)
    assert newest_day(tmp_path, "world 1a2b") == _day("world 1a2b", 9)


def test_a_log_without_a_published_day_is_one_clear_error(tmp_path):
    write_day(tmp_path, _day("world", 9))
    with pytest.raises(PipelineError, match="no published day of the log `news`"):
        newest_day(tmp_path, "news")
