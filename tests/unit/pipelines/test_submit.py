"""A host that lets a connection time out: the one fault that a server on loopback cannot make."""

from types import SimpleNamespace

import pytest

from homefeed.config import PipelinesConfig
from homefeed.errors import PipelineError
from pipelines import submit as module
from pipelines.submit import schedule

CONFIG = PipelinesConfig(host="http://127.0.0.1:9")


def test_a_host_that_times_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(_: str) -> None:
        raise TimeoutError("no Kubeflow")

    monkeypatch.setattr(module, "_client", lambda _: SimpleNamespace(get_pipeline_id=late))
    with pytest.raises(PipelineError, match=r"no answer from .* at http://127\.0\.0\.1:9"):
        schedule("daily", {}, CONFIG)
