"""How the cluster's client is used, and how its errors are told. A stand-in takes its place."""

from types import SimpleNamespace
from typing import Any

import pytest

from homefeed.config import PipelinesConfig
from homefeed.errors import PipelineError
from pipelines import submit as module
from pipelines.submit import Uploaded, schedule

CONFIG = PipelinesConfig(host="http://127.0.0.1:9")


class _Client:
    """Remembers what was asked of it, in order."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.refuses: Exception | None = None

    def create_experiment(self, name: str, namespace: str) -> Any:
        print("Experiment details: http://there")
        return SimpleNamespace(experiment_id="experiment-1")

    def list_recurring_runs(self, **_: Any) -> Any:
        old = SimpleNamespace(display_name="daily", recurring_run_id="old")
        other = SimpleNamespace(display_name="weekly", recurring_run_id="other")
        return SimpleNamespace(recurring_runs=[old, other], next_page_token="")

    def create_recurring_run(self, **_: Any) -> Any:
        if self.refuses:
            raise self.refuses
        self.asked.append("create")
        return SimpleNamespace(recurring_run_id="new")

    def delete_recurring_run(self, run_id: str) -> None:
        self.asked.append(f"delete {run_id}")


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> _Client:
    made = _Client()
    monkeypatch.setattr(module, "_client", lambda _: made)
    monkeypatch.setattr(module, "upload", lambda *_: Uploaded("pipeline-1", "version-1", "1"))
    return made


def test_the_old_schedule_goes_only_after_the_new_one_is_there(client: _Client) -> None:
    assert schedule("daily", {}, CONFIG) == "new"
    assert client.asked == ["create", "delete old"]


@pytest.mark.parametrize("error", [TimeoutError("no Kubeflow"), ConnectionResetError(104, "reset")])
def test_a_host_that_does_not_answer_is_named_and_the_old_schedule_stays(
    client: _Client, error: Exception
) -> None:
    client.refuses = error
    with pytest.raises(PipelineError, match=r"no answer from .* at http://127\.0\.0\.1:9"):
        schedule("daily", {}, CONFIG)
    assert client.asked == []


def test_what_the_client_prints_is_not_on_standard_output(
    client: _Client, capsys: pytest.CaptureFixture[str]
) -> None:
    schedule("daily", {}, CONFIG)
    said = capsys.readouterr()
    assert said.out == ""
    assert "Experiment details" in said.err
