import socket

import pytest

from homefeed.errors import ServerError, StorageError
from serving.run import start_server

pytestmark = pytest.mark.integration


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


def test_a_workspace_without_a_champion_is_told_in_one_line_with_its_log(tmp_path, wait_until):
    handle = start_server(tmp_path, scorer="in_process", wait_for_release=False)
    with handle, handle.client() as client:
        wait_until(lambda: client.ready()["reason"] != "starting")
        with pytest.raises(ServerError) as refused:
            handle.wait(0)
    assert "is not ready after 0 s" in str(refused.value)
    assert "the ledger names no champion" in str(refused.value)
    assert str(refused.value).endswith(f"see its log {next(tmp_path.glob('runs/server-*.log'))}")
    assert "\n" not in str(refused.value)


def test_a_server_that_does_not_answer_in_time_is_told_with_its_log(tmp_path):
    told = r"is not ready after 0 s \(it does not answer\); see its log .*server-\d+\.log$"
    with pytest.raises(ServerError, match=told):
        start_server(tmp_path, scorer="in_process", wait_s=0)


def test_a_server_that_ended_is_told_at_once_with_the_end_of_its_log(tmp_path):
    with pytest.raises(ServerError, match=r"the server ended with code \d+ while it started"):
        start_server(tmp_path, scorer="in_process", workers=-1, wait_s=600)  # BentoML gives up


def test_a_workspace_that_is_a_file_is_refused_in_one_line(tmp_path):
    workspace = tmp_path / "file"
    workspace.write_text("not a folder")
    with pytest.raises(StorageError, match="cannot make"):
        start_server(workspace)
