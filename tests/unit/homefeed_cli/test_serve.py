"""What `homefeed serve` hands to the server: the configuration, over the environment."""

import argparse
import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from feature_repo.publish import feature_store
from homefeed.config import load_config
from homefeed.errors import ConfigError, ServerError, UsageError
from homefeed_cli.serve import serve, server_settings, stay
from serving.features import OnlineReader, store_settings
from serving.run import ServerHandle
from serving.settings import Settings

LOG = Path("server.log")


def test_what_the_configuration_gives_reaches_the_server() -> None:
    given = ("serving.poll_s=0.25", "serving.feature_budget_ms=7", "serving.scorer_device=cuda")
    settings = server_settings(load_config(overrides=given), {})
    assert (settings.poll_s, settings.features_budget_ms) == (0.25, 7.0)
    assert settings.scorer_device == "cuda"


def test_a_variable_counts_where_the_configuration_says_nothing() -> None:
    environment = {"HOMEFEED_CANDIDATES": "300", "HOMEFEED_POLL_S": "9", "HOMEFEED_REDIS": "r:1"}
    settings = server_settings(load_config(overrides=("serving.poll_s=2.0",)), environment)
    assert (settings.candidates, settings.poll_s, settings.redis) == (300, 2.0, "r:1")
    with pytest.raises(ConfigError, match="HOMEFEED_CANDIDATES"):
        server_settings(load_config(), {"HOMEFEED_CANDIDATES": "many"})


def test_without_either_the_defaults_of_both_agree() -> None:
    assert server_settings(load_config(), {}) == Settings()
    for key in (
        "serving.poll_s=2.0",
        "serving.feature_budget_ms=50",
        "storage.online_store=sqlite",
    ):
        assert server_settings(load_config(overrides=(key,)), {}) == Settings()


@pytest.mark.parametrize("profile", ["local", "cluster"])
def test_a_server_reads_the_online_store_that_the_pipelines_publish_to(
    profile: str, tmp_path: Any
) -> None:
    loaded = load_config(
        profile=profile, overrides=(f"storage.root={tmp_path}", "storage.feast_registry=sqlite://")
    )
    settings = Settings.from_env(server_settings(loaded, {}).to_env())  # in its own process
    reader = OnlineReader(tmp_path / "feast", store_settings(settings))
    published = feature_store(loaded.config).connection.settings
    assert reader._store.connection.settings == published
    assert published.online_store == ("redis" if profile == "cluster" else "sqlite")


def test_an_unknown_online_store_is_refused() -> None:
    with pytest.raises(ConfigError, match="online_store is 'dynamo'; give sqlite or redis"):
        server_settings(load_config(overrides=("storage.online_store=dynamo",)), {})


@dataclass
class Interrupted(ServerHandle):
    """A started server whose starter a person interrupts after so many looks at it."""

    looks: int = 0

    def running(self) -> bool:
        """Whether it runs, as ever, and then Ctrl-C."""
        if self.looks == 0:
            raise KeyboardInterrupt
        self.looks -= 1
        return super().running()


@pytest.fixture
def process() -> Iterator[subprocess.Popen]:
    """The process of a server."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


@pytest.fixture
def url_and_answers() -> Iterator[tuple[str, list[bool]]]:
    """A server's address, and whether /readyz is ready: one answer a question, then the last."""
    answers = [True]

    class Readyz(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_ready = answers.pop(0) if len(answers) > 1 else answers[0]
            body = json.dumps({"ready": is_ready}).encode()
            self.send_response(200 if is_ready else 503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *said: object) -> None:
            """Quiet."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Readyz)
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}", answers
    http.shutdown()
    http.server_close()


@pytest.mark.parametrize("as_json", [True, False])
def test_under_json_only_the_document_is_on_standard_output(
    as_json: bool,
    process: subprocess.Popen,
    url_and_answers: tuple[str, list[bool]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url, _ = url_and_answers
    answer = stay(Interrupted(url, process, LOG), tmp_path, as_json=as_json)
    assert answer.data == {"url": url, "stopped": True}
    said = capsys.readouterr()
    assert f"at {url}" in (said.err if as_json else said.out)
    assert (said.out if as_json else said.err) == ""


def test_a_server_that_was_still_loading_is_called_ready_once_it_is(
    process: subprocess.Popen,
    url_and_answers: tuple[str, list[bool]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url, answers = url_and_answers
    answers[:] = [False, False, True]
    stay(Interrupted(url, process, LOG, looks=3), tmp_path, as_json=False)
    _, first, *later = capsys.readouterr().out.splitlines()
    assert first.startswith("loading the champion")
    assert later == ["ready"]


def test_no_workers_are_refused_before_anything_starts() -> None:
    with pytest.raises(UsageError, match="--workers is 0; give 1 or more"):
        serve(argparse.Namespace(workers=0))


def test_a_server_that_ends_by_itself_is_an_error_that_names_its_log(tmp_path: Path) -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    with socket.socket() as nobody:  # bound, so that no other server has its port
        nobody.bind(("127.0.0.1", 0))
        ended = ServerHandle(f"http://127.0.0.1:{nobody.getsockname()[1]}", process, LOG)
        with pytest.raises(ServerError, match=r"ended by itself; its log: server\.log"):
            stay(ended, tmp_path, as_json=False)
