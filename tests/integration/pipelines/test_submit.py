"""Upload, submit and schedule over HTTP, with the real kfp.Client."""

import warnings
from typing import Any

import pytest
import yaml

from homefeed.config import PipelinesConfig
from homefeed.errors import PipelineError
from pipelines.compiled import version_name
from pipelines.submit import schedule, submit, upload

pytestmark = pytest.mark.integration


def _config(cluster: Any, **changes: Any) -> PipelinesConfig:
    return PipelinesConfig(host=cluster.host, **changes)


def test_an_upload_makes_a_version_named_by_the_project_and_the_commit(cluster: Any) -> None:
    uploaded = upload("daily", _config(cluster))
    assert uploaded.version_name == version_name()
    assert [p.display_name for p in cluster.pipelines.values()] == ["daily"]
    package = cluster.packages[uploaded.version_id]
    assert "pipelineInfo" in package
    assert "name: daily" in package


def test_a_new_pipeline_keeps_no_version_that_names_no_commit(cluster: Any) -> None:
    uploaded = upload("daily", _config(cluster))
    names = [version.display_name for version in cluster.versions[uploaded.pipeline_id]]
    assert names == [version_name()]


def test_the_same_version_is_uploaded_once(cluster: Any) -> None:
    first, second = upload("daily", _config(cluster)), upload("daily", _config(cluster))
    assert first == second
    assert len(cluster.versions[first.pipeline_id]) == 1


def test_a_submitted_run_names_the_version_and_its_arguments(cluster: Any) -> None:
    run_id = submit("daily", {"data": "s3://logs/today"}, _config(cluster))
    (run,) = cluster.runs
    assert run.run_id == run_id
    (version,) = cluster.versions[run.pipeline_version_reference.pipeline_id]
    assert version.display_name == version_name()
    assert run.pipeline_version_reference.pipeline_version_id == version.pipeline_version_id
    assert run.runtime_config.parameters["data"] == "s3://logs/today"
    assert run.experiment_id == "experiment-1"


def test_a_schedule_runs_every_night_once_at_a_time_and_replaces_the_old_one(cluster: Any) -> None:
    schedule("daily", {}, _config(cluster))
    schedule("daily", {}, _config(cluster, daily_cron="0 30 3 * * *"))
    (job,) = cluster.recurring_runs.values()
    assert job.trigger.cron_schedule.cron == "0 30 3 * * *"
    assert job.max_concurrency == "1"
    assert job.no_catchup is True


def test_a_pipeline_that_is_scheduled_again_leaves_the_schedules_of_others(cluster: Any) -> None:
    for name in ("lifecycle", "daily", "daily", "embeddings"):
        schedule(name, {}, _config(cluster))
    kept = [each.display_name for each in cluster.recurring_runs.values()]
    assert sorted(kept) == ["daily", "embeddings", "lifecycle"]


def test_a_host_that_refuses_is_one_clear_line(cluster: Any) -> None:
    cluster.refuse_with = 403
    with pytest.raises(PipelineError, match=r"refused: 403") as caught:
        upload("daily", _config(cluster))
    assert "\n" not in str(caught.value)


def test_two_pipelines_of_one_name_are_one_clear_line(cluster: Any) -> None:
    upload("daily", _config(cluster))
    cluster.pipelines["another"] = cluster.pipelines["pipeline-1"]
    with pytest.raises(PipelineError, match=rf"at {cluster.host}: Multiple pipelines .* daily"):
        upload("daily", _config(cluster))


def test_no_host_and_a_silent_host_say_what_to_set_and_nothing_else(
    recwarn: pytest.WarningsRecorder,
) -> None:
    with pytest.raises(PipelineError, match=r"pipelines\.host"):
        upload("daily", PipelinesConfig())
    warnings.simplefilter("always")
    with pytest.raises(PipelineError, match="no answer"):
        upload("daily", PipelinesConfig(host="http://127.0.0.1:9"))
    assert [each for each in recwarn if issubclass(each.category, FutureWarning)] == []


def test_the_uploaded_package_is_the_compiled_pipeline(cluster: Any) -> None:
    uploaded = upload("embeddings", _config(cluster))
    text = cluster.packages[uploaded.version_id]
    documents = [d for d in yaml.safe_load_all(text[: text.rindex("\r\n--")]) if d]
    assert documents[0]["pipelineInfo"]["name"] == "embeddings"


def test_the_old_schedule_goes_only_after_the_new_one_is_there(cluster: Any) -> None:
    schedule("daily", {}, _config(cluster))
    cluster.asked.clear()
    assert schedule("daily", {}, _config(cluster)) in cluster.recurring_runs
    assert len(cluster.recurring_runs) == 1
    changes = [asked for asked in cluster.asked if asked.endswith("_recurringruns")]
    assert changes == ["get_recurringruns", "post_recurringruns", "delete_recurringruns"]


def test_a_host_that_hangs_up_is_named_and_the_old_schedule_stays(cluster: Any) -> None:
    old = schedule("daily", {}, _config(cluster))
    cluster.hangs_up_on = "post_recurringruns"
    with pytest.raises(PipelineError, match=rf"no answer from .* at {cluster.host}"):
        schedule("daily", {}, _config(cluster))
    assert list(cluster.recurring_runs) == [old]


def test_what_the_client_prints_is_not_on_standard_output(
    cluster: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    schedule("daily", {}, _config(cluster))
    said = capsys.readouterr()
    assert said.out == ""
    assert "xperiment" in said.err
