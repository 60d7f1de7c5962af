"""Aliases follow the ledger on a tracking server that answers, or that does not."""

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from mlflow.exceptions import MlflowException

from homefeed.errors import StorageError
from homefeed.release import ReleaseRegistry
from homefeed.release.registered_model import SOON, RegisteredModel


@pytest.fixture
def refusing() -> Iterator[tuple[str, list[str]]]:
    """A tracking server that is overloaded: its address, and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Keep the tests' output quiet."""

        def do_GET(self) -> None:
            asked.append(self.path)
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_error(503)

        do_POST = do_GET  # noqa: N815 - the name that http.server calls

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_a_server_that_does_not_answer_is_asked_once_more_and_given_up(
    refusing, registry: ReleaseRegistry, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    uri, asked = refusing
    monkeypatch.setenv("HOME", str(tmp_path))  # where the lock of a server lies
    for name in SOON:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(MlflowException, match="503"):
        RegisteredModel(uri).project(registry.state())
    assert len(asked) == 2
    assert not set(SOON) & set(os.environ), "whoever logs a large artifact has its own patience"


def test_a_patience_that_the_environment_sets_stays(
    refusing, registry: ReleaseRegistry, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    uri, asked = refusing
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(MlflowException, match="503"):
        RegisteredModel(uri).project(registry.state())
    assert len(asked) == 1
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"


def test_a_release_that_mlflow_does_not_take_is_refused_in_one_line_and_recorded_nowhere(
    refusing, make_manifest, workspace, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    uri, _ = refusing
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    registry = ReleaseRegistry(workspace, tracking_uri=uri)
    with pytest.raises(StorageError, match=f"MLflow at {uri} did not register") as refused:
        registry.register(make_manifest())
    assert "\n" not in str(refused.value)
    assert registry.ledger.versions() == []
