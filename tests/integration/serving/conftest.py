"""One real server over loopback, both services, over a synthetic workspace of real parts."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from serving.run import start_server
from serving.settings import Settings
from serving.synthetic import SyntheticWorkspace, write_workspace

AS_OF_S = 1_700_000_000
# On a machine under load a read takes longer than serving allows; these tests are not of time.
PATIENT = Settings(features_budget_ms=20_000, log_budget_ms=20_000, scorer_budget_ms=20_000)


@pytest.fixture(scope="session")
def make_workspace(tmp_path_factory):
    """Each call gives a workspace of its own; they are copies of one."""
    first = tmp_path_factory.mktemp("workspace") / "first"
    sizes = SyntheticWorkspace(root=first, num_items=120, num_users=40, as_of_s=AS_OF_S)
    releases = ({"realtime": True}, {"realtime": False, "variant": "control"})
    write_workspace(sizes, releases=releases)

    def make() -> Path:
        return shutil.copytree(first, tmp_path_factory.mktemp("workspace") / "copy")

    return make


@pytest.fixture(scope="session")
def server(make_workspace):
    """A server with the simulated clock; tests share it, each with users of its own."""
    workspace = make_workspace()
    with start_server(workspace, simulated_clock=True, settings=PATIENT, wait_s=180) as handle:
        yield SimpleNamespace(handle=handle, workspace=workspace, url=handle.url)


@pytest.fixture
def client(server):
    with server.handle.client() as client:
        yield client
