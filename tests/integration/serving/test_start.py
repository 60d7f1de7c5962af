import contextlib
import socket
import time
from types import SimpleNamespace

import httpx
import pytest

from homefeed.errors import ServerError, StorageError
from serving import run
from serving.run import start_server

pytestmark = pytest.mark.integration
WAIT_S = 25.0


class StandingClock:
    """A clock for the starter: it stands until the server at ``port`` tells its state, and then
    until the starter has asked once more. So on every machine the wait ends after that answer.
    """

    def __init__(self, port: int) -> None:
        self.now_s, self.told = 0.0, False
        self.readyz = f"http://127.0.0.1:{port}/readyz"

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        if self.told:
            self.now_s = WAIT_S
            return
        time.sleep(seconds)
        with contextlib.suppress(httpx.HTTPError):  # nobody listens there yet
            self.told = httpx.get(self.readyz, trust_env=False).json()["reason"] != "starting"


def test_a_busy_port_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=f"port {port} on 127.0.0.1 cannot be used"):
            start_server(tmp_path, port)


def test_an_unknown_scorer_is_refused(tmp_path):
    with pytest.raises(ServerError, match="give 'service' or 'in_process'"):
        start_server(tmp_path, scorer="gpu")


def test_a_workspace_without_a_champion_is_told_in_one_line_with_its_log(tmp_path, monkeypatch):
    port = run._free_port("127.0.0.1")
    monkeypatch.setattr(run, "time", StandingClock(port))
    with pytest.raises(ServerError) as refused:
        start_server(tmp_path, port, scorer="in_process", wait_s=WAIT_S)
    assert "is not ready after 25 s" in str(refused.value)
    assert "the ledger names no champion" in str(refused.value)
    assert str(refused.value).endswith(f"see its log {next(tmp_path.glob('runs/server-*.log'))}")
    assert "\n" not in str(refused.value)


def test_a_server_that_ended_is_told_at_once_with_the_end_of_its_log(tmp_path, monkeypatch):
    monkeypatch.setitem(run._SERVICES, "in_process", "serving.nothing:Here")
    clock = SimpleNamespace(monotonic=lambda: 0.0, sleep=time.sleep)  # the wait is never over
    monkeypatch.setattr(run, "time", clock)
    with pytest.raises(ServerError, match=r"the server ended with code \d+ while it started"):
        start_server(tmp_path, scorer="in_process")


def test_a_workspace_that_is_a_file_is_refused_in_one_line(tmp_path):
    workspace = tmp_path / "file"
    workspace.write_text("not a folder")
    with pytest.raises(StorageError, match="cannot make"):
        start_server(workspace)
