import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from filelock import Timeout

from homefeed.errors import ArtifactError
from homefeed.release.registered_model import RegisteredModel
from homefeed.training import tracking as tracking_module
from homefeed.training.tracking import Tracking, first_use_lock
from serving.ports import free_port

pytestmark = pytest.mark.integration

FIRST_USE = """
import sys
from pathlib import Path
from homefeed.training.tracking import Tracking
from serving.ports import free_port
tracking = Tracking(f"sqlite:///{sys.argv[1]}/mlflow.db", Path(sys.argv[1]))
with tracking.run(sys.argv[2], {"a": 1}) as run:
    print(run.run_id)
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose tracking file is used for the first time by three processes at once."""
    root = tmp_path_factory.mktemp("mlflow")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", FIRST_USE, root, f"run-{i}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for i in range(3)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=500)
        assert process.returncode == 0, errors.decode()
    return root


@pytest.fixture(scope="module")
def tracking(root: Path) -> Tracking:
    return Tracking(f"sqlite:///{root}/mlflow.db", root)


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[str]:
    """An MLflow server that keeps artifacts where its clients cannot see them."""
    port = free_port("127.0.0.1")
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{root}/mlflow.db"),
        *("--artifacts-destination", str(root / "of-the-server")),
    ]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (root / "server.log").open("w") as log:
        process = subprocess.Popen(command, env=os.environ | quiet, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, process, root / "server.log")
        yield url
    finally:
        process.terminate()
        process.wait(300)


def _wait_for(url: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/health", trust_env=False).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.5)
    raise AssertionError(f"no MLflow server at {url}: {log.read_text()[-2000:]}")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "encoder"
    folder.mkdir()
    (folder / "encoder.json").write_text("{}")
    return folder


def test_three_first_users_at_once_all_succeed(tracking: Tracking) -> None:
    experiment = tracking.client.get_experiment_by_name("homefeed")
    names = {r.info.run_name for r in tracking.client.search_runs([experiment.experiment_id])}
    assert {"run-0", "run-1", "run-2"} <= names


def test_workspaces_of_one_tracking_file_wait_for_each_others_first_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking_module, "FIRST_USE_TIMEOUT_S", 0.1)
    uri = f"sqlite:///{tmp_path / 'shared' / 'mlflow.db'}"
    with first_use_lock(uri):
        for use in (lambda: Tracking(uri, tmp_path / "one").client, RegisteredModel(uri).aliases):
            with pytest.raises(Timeout):
                use()


def test_a_run_keeps_flat_parameters_and_metrics_by_step(tracking: Tracking) -> None:
    with tracking.run("fit", {"network": {"dim": 8}, "steps": 5}, {"kind": "test"}) as run:
        run.log_metrics({"step": 2, "loss": 1.5, "temperature": 0.1}, step=2)
        run.log_metrics({"step": 4, "loss": 1.25}, step=4)
    found = tracking.client.get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert found.data.params == {"network.dim": "8", "steps": "5"}
    assert found.data.metrics == {"loss": 1.25, "temperature": 0.1}
    history = tracking.client.get_metric_history(run.run_id, "loss")
    assert [(m.step, m.value) for m in history] == [(2, 1.5), (4, 1.25)]


def test_a_run_whose_body_raised_is_failed(tracking: Tracking) -> None:
    with pytest.raises(ZeroDivisionError), tracking.run("fit", {}) as run:
        _ = 1 / 0
    assert tracking.client.get_run(run.run_id).info.status == "FAILED"


def test_versions_count_up_and_give_back_what_was_registered(
    tracking: Tracking, model: Path, tmp_path: Path
) -> None:
    first = tracking.register("user_encoder", model, {"hash": "a"})
    (model / "encoder.json").write_text('{"second": true}')
    with tracking.run("fit", {}) as run:
        second = tracking.register("user_encoder", model, {"hash": "b"}, run_id=run.run_id)
    assert second == first + 1

    def text(version: int) -> str:
        folder = tracking.download("user_encoder", version, tmp_path / "models")
        return (folder / "encoder.json").read_text()

    assert text(first) == "{}"
    assert "second" in text(second)
    assert not (tmp_path / "models").exists(), "what lies on this disk is not copied"
    assert tracking.find("user_encoder", {"hash": "b"}) == second
    assert tracking.find("user_encoder", {"hash": "a"}) == first
    assert tracking.find("user_encoder", {"hash": "c"}) is None


def test_artifacts_lie_below_the_workspace_wherever_the_process_stands(
    root: Path, tracking: Tracking, model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    version = tracking.register("item_encoder", model)
    assert root in tracking.download("item_encoder", version, tmp_path / "models").parents
    assert not (tmp_path / "mlruns").exists()


def test_a_version_that_is_not_there_and_a_folder_that_is_not_there_are_refused(
    tracking: Tracking, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactError, match="no version 99 of the registered model 'ranker'"):
        tracking.download("ranker", 99, tmp_path)
    with pytest.raises(ArtifactError, match="is not a folder"):
        tracking.register("ranker", tmp_path / "nothing")


def test_what_a_server_keeps_is_copied_once_to_a_place_that_a_release_can_name(
    server: str, model: Path, tmp_path: Path
) -> None:
    tracking = Tracking(server, tmp_path / "mlflow", experiment="on a server")
    first = tracking.register("ranker", model)
    (model / "encoder.json").write_text('{"second": true}')
    second = tracking.register("ranker", model)
    models = tmp_path / "workspace" / "models"
    for version, text in ((first, "{}"), (second, '{"second": true}')):
        folder = tracking.download("ranker", version, models)
        assert folder == models / "ranker" / str(version)
        assert (folder / "encoder.json").read_text() == text
    assert sorted(path.name for path in (models / "ranker").iterdir()) == [str(first), str(second)]
    written = (models / "ranker" / str(first) / "encoder.json").stat().st_ino
    assert tracking.download("ranker", first, models) == models / "ranker" / str(first)
    assert (models / "ranker" / str(first) / "encoder.json").stat().st_ino == written
