"""A small server that speaks Kubeflow Pipelines' v2beta1 API with kfp_server_api's own models.

And what tests of local runs share: a pipeline of two steps, a workspace, processes to look at.
"""

import importlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import kfp_server_api as api
import pytest

from homefeed.config import Config, load_config
from pipelines import catalogue

PREFIX = "/apis/v2beta1"


class Cluster:
    """What the server remembers; tests look at it."""

    def __init__(self) -> None:
        self.pipelines: dict[str, api.V2beta1Pipeline] = {}
        self.versions: dict[str, list[api.V2beta1PipelineVersion]] = {}
        self.packages: dict[str, str] = {}
        self.experiments: dict[str, api.V2beta1Experiment] = {}
        self.runs: list[api.V2beta1Run] = []
        self.recurring_runs: dict[str, api.V2beta1RecurringRun] = {}
        self.scheduled = count(1)  # no id is given again after its schedule was deleted
        self.host = ""
        self.refuse_with = 0  # an HTTP status to answer everything with
        self.hangs_up_on = ""  # what is not answered, such as post_recurringruns
        self.asked: list[str] = []  # post_runs, delete_recurringruns, ... in order


class _Handler(BaseHTTPRequestHandler):
    cluster: Cluster
    client = api.ApiClient()

    def log_message(self, *_: Any) -> None:
        """Keep the tests' output quiet."""

    def _answer(self, model: Any, status: int = 200) -> None:
        body = json.dumps(self.client.sanitize_for_serialization(model)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _model(self, kind: str) -> Any:
        """Parse the request's JSON into the API's own model: wrong fields or types raise."""

        class Response:
            data = self._body().decode()

        return self.client.deserialize(Response, kind)

    def _route(self, method: str) -> None:
        url = urlparse(self.path)
        parts = url.path.removeprefix(PREFIX).strip("/").split("/")
        query = {k: v[0] for k, v in parse_qs(url.query).items()}
        if self.cluster.refuse_with and parts != ["healthz"]:
            self._answer({"error": "refused"}, self.cluster.refuse_with)
            return
        name = f"{method}_{parts[0]}" + ("_upload" if "upload" in parts[-1] else "")
        self.cluster.asked.append(name)
        if name == self.cluster.hangs_up_on:
            self.close_connection = True  # without a word
            return
        getattr(self, name)(parts, query)

    def do_GET(self) -> None:
        self._route("get")

    def do_POST(self) -> None:
        self._route("post")

    def do_DELETE(self) -> None:
        self._route("delete")

    def get_healthz(self, parts: list[str], query: dict[str, str]) -> None:
        self._answer({"multi_user": False})

    def get_pipelines(self, parts: list[str], query: dict[str, str]) -> None:
        if parts[-1] == "versions":
            versions = self.cluster.versions[parts[1]]
            self._answer(api.V2beta1ListPipelineVersionsResponse(pipeline_versions=versions))
            return
        wanted = json.loads(query["filter"])["predicates"][0]["stringValue"]
        found = [p for p in self.cluster.pipelines.values() if p.display_name == wanted]
        self._answer(api.V2beta1ListPipelinesResponse(pipelines=found, total_size=len(found)))

    def _package(self) -> str:
        return self._body().decode().split("\r\n\r\n", 1)[1]

    def post_pipelines_upload(self, parts: list[str], query: dict[str, str]) -> None:
        package = self._package()
        if parts[-1] == "upload":
            made = api.V2beta1Pipeline(
                pipeline_id=f"pipeline-{len(self.cluster.pipelines) + 1}",
                display_name=query["name"],
            )
            self.cluster.pipelines[made.pipeline_id] = made
            self.cluster.versions[made.pipeline_id] = []
            self._add_version(made.pipeline_id, query["name"], package)  # as Kubeflow's host does
            self._answer(made)
            return
        self._answer(self._add_version(query["pipelineid"], query["name"], package))

    def _add_version(self, pipeline_id: str, name: str, package: str) -> api.V2beta1PipelineVersion:
        version = api.V2beta1PipelineVersion(
            pipeline_id=pipeline_id,
            pipeline_version_id=f"version-{len(self.cluster.packages) + 1}",
            display_name=name,
        )
        self.cluster.versions[pipeline_id].append(version)
        self.cluster.packages[version.pipeline_version_id] = package
        return version

    def delete_pipelines(self, parts: list[str], query: dict[str, str]) -> None:
        versions = self.cluster.versions[parts[1]]
        versions[:] = [v for v in versions if v.pipeline_version_id != parts[3]]
        self._answer({})

    def get_experiments(self, parts: list[str], query: dict[str, str]) -> None:
        found = list(self.cluster.experiments.values())
        self._answer(api.V2beta1ListExperimentsResponse(experiments=found, total_size=len(found)))

    def post_experiments(self, parts: list[str], query: dict[str, str]) -> None:
        made = self._model("V2beta1Experiment")
        made.experiment_id = "experiment-1"
        self.cluster.experiments[made.experiment_id] = made
        self._answer(made)

    def post_runs(self, parts: list[str], query: dict[str, str]) -> None:
        run = self._model("V2beta1Run")
        run.run_id = f"run-{len(self.cluster.runs) + 1}"
        self.cluster.runs.append(run)
        self._answer(run)

    def get_recurringruns(self, parts: list[str], query: dict[str, str]) -> None:
        found = list(self.cluster.recurring_runs.values())
        self._answer(api.V2beta1ListRecurringRunsResponse(recurring_runs=found))

    def post_recurringruns(self, parts: list[str], query: dict[str, str]) -> None:
        made = self._model("V2beta1RecurringRun")
        made.recurring_run_id = f"recurring-{next(self.cluster.scheduled)}"
        self.cluster.recurring_runs[made.recurring_run_id] = made
        self._answer(made)

    def delete_recurringruns(self, parts: list[str], query: dict[str, str]) -> None:
        del self.cluster.recurring_runs[parts[1]]
        self._answer({})


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A running server; its ``host`` is what pipelines.host would be."""
    cluster = Cluster()
    handler = type("Handler", (_Handler,), {"cluster": cluster})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    cluster.host = f"http://127.0.0.1:{server.server_port}"
    yield cluster
    server.shutdown()
    server.server_close()


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module toy.py; the catalogue knows its pipeline."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    module = importlib.import_module("toy")
    monkeypatch.setitem(catalogue.PIPELINES, "toy", module.toy)
    return module


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A workspace of its own, without Ray."""
    chosen = (f"storage.root={tmp_path / 'workspace'}", "training.num_workers=0")
    return load_config(overrides=chosen).config


@pytest.fixture
def alive() -> Callable[[int], bool]:
    """Whether a process runs (one that ended and was not waited for does not)."""

    def is_alive(process: int) -> bool:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return False
        return state != "Z"

    return is_alive
