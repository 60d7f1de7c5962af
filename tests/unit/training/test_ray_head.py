"""Waiting for the run's Ray head: what is said where it does not come, or has ended."""

import os
import sys
import threading

import pytest

from homefeed.config import Config
from homefeed.errors import HomefeedError
from homefeed.training import ray_head
from homefeed.training.ray_head import ray_address
from pipelines import local


@pytest.fixture
def start(tmp_path, monkeypatch):
    """``start(program)`` is a head that runs ``program`` instead, promised to this process."""
    log = tmp_path / "ray-head.log"
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("HOMEFEED_RAY_ADDRESS_FILE", str(tmp_path / "ray-address"))
    monkeypatch.setenv("HOMEFEED_RAY_HEAD_LOG", str(log))

    def make(program: str):
        head = local._ray_head(Config(), tmp_path, dict(os.environ), log)
        head.command = [sys.executable, "-c", program, str(head.address)]
        return head

    return make


def test_a_head_that_ended_is_told_at_once_with_its_log(start, tmp_path, monkeypatch):
    monkeypatch.setattr(ray_head, "WAIT_S", threading.TIMEOUT_MAX)  # the wait is never over
    with start("raise SystemExit('no memory')"), pytest.raises(HomefeedError) as told:
        ray_address()
    log = tmp_path / "ray-head.log"
    assert str(told.value) == (
        f"the Ray head ended with code 1; see its log {log}, or train without Ray with "
        "--set training.num_workers=0"
    )
    assert log.read_text() == "no memory\n"


def test_a_head_that_was_killed_after_it_had_started_is_told_too(start):
    program = "import os, sys; open(sys.argv[1], 'w').write('a:1'); os.kill(os.getpid(), 9)"
    head = start(program)
    with head:
        head.watcher.join()
        with pytest.raises(HomefeedError, match="the Ray head ended with code -9; see its log"):
            ray_address()


def test_a_head_that_does_not_come_is_told_in_one_line(start, tmp_path, monkeypatch):
    monkeypatch.setattr(ray_head, "WAIT_S", 0.0)
    with start("import sys; sys.stdin.read()"), pytest.raises(HomefeedError) as told:
        ray_address()
    assert str(told.value).startswith(
        f"the Ray head did not start within 0 s; see its log {tmp_path / 'ray-head.log'}, or"
    )
    assert "\n" not in str(told.value)


def test_the_address_of_a_head_that_came_is_read(start):
    program = (
        "import os, sys; name = sys.argv[1]; open(name + '_', 'w').write('a:1'); "
        "os.rename(name + '_', name); sys.stdin.read()"
    )
    with start(program):
        assert ray_address() == "a:1"
