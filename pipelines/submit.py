"""The only place that talks to a cluster: Kubeflow Pipelines through kfp.Client.

A pipeline is uploaded under its name; each upload is a version that never changes, named by
the project's version, the commit and, where it differs from the default, the placement.
"""

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homefeed.config import PipelinesConfig
from homefeed.errors import PipelineError
from pipelines.compiled import compile_pipeline, version_name
from pipelines.placement import Placement


@dataclass(frozen=True)
class Uploaded:
    """One uploaded version of a pipeline."""

    pipeline_id: str
    version_id: str
    version_name: str


def upload(name: str, config: PipelinesConfig, placement: Placement | None = None) -> Uploaded:
    """Upload the pipeline's present version; a version that is there already is left alone.

    Without ``placement``, its steps run in ``pipelines.image`` and are given nothing more.
    """
    placement = placement or Placement(image=config.image)
    client = _client(config)
    version = version_name(placement)
    with tempfile.TemporaryDirectory() as folder, _kfp_errors(config):
        package = str(compile_pipeline(name, Path(folder) / f"{name}.yaml", placement))
        pipeline_id = client.get_pipeline_id(name)
        if pipeline_id is None:
            pipeline_id = client.upload_pipeline(package, pipeline_name=name).pipeline_id
        there = _versions(client, pipeline_id)
        made = next((found for found in there if found.display_name == version), None)
        made = made or client.upload_pipeline_version(package, version, pipeline_id=pipeline_id)
        # A new pipeline gets a version of its own name from the host, which names no commit.
        for unnamed in (found for found in there if found.display_name == name):
            client.delete_pipeline_version(pipeline_id, unnamed.pipeline_version_id)
    return Uploaded(pipeline_id, made.pipeline_version_id, version)


def submit(
    name: str,
    arguments: dict[str, Any],
    config: PipelinesConfig,
    placement: Placement | None = None,
) -> str:
    """Upload, then start one run with these arguments; returns the run's id."""
    uploaded = upload(name, config, placement)
    client = _client(config)
    with _kfp_errors(config):
        experiment = client.create_experiment(config.experiment, namespace=config.namespace)
        run = client.run_pipeline(
            experiment_id=experiment.experiment_id,
            job_name=f"{name}-{uploaded.version_name}",
            pipeline_id=uploaded.pipeline_id,
            version_id=uploaded.version_id,
            params=arguments,
        )
    return run.run_id


def schedule(
    name: str,
    arguments: dict[str, Any],
    config: PipelinesConfig,
    placement: Placement | None = None,
) -> str:
    """Upload, then run it at ``pipelines.daily_cron``; replaces an older schedule of this name."""
    uploaded = upload(name, config, placement)
    client = _client(config)
    with _kfp_errors(config):
        experiment = client.create_experiment(config.experiment, namespace=config.namespace)
        found = _schedules(client, experiment.experiment_id)
        made = client.create_recurring_run(
            experiment_id=experiment.experiment_id,
            job_name=name,
            cron_expression=config.daily_cron,
            max_concurrency=1,
            # A run takes the day after the newest published one, whatever its tick: after a
            # missed night the next run takes the missed day, and one is to be submitted by hand.
            no_catchup=True,
            pipeline_id=uploaded.pipeline_id,
            version_id=uploaded.version_id,
            params=arguments,
        )
        for old in found:  # only now: where the new one is refused, the old one goes on
            if old.display_name == name:
                client.delete_recurring_run(old.recurring_run_id)
    return made.recurring_run_id


def _versions(client: Any, pipeline_id: str) -> list[Any]:
    return _pages(client.list_pipeline_versions, "pipeline_versions", pipeline_id=pipeline_id)


def _schedules(client: Any, experiment_id: str) -> list[Any]:
    return _pages(client.list_recurring_runs, "recurring_runs", experiment_id=experiment_id)


def _pages(call: Any, field: str, **arguments: Any) -> list[Any]:
    found: list[Any] = []
    token = ""
    while True:
        page = call(page_token=token, page_size=100, **arguments)
        found += getattr(page, field) or []
        token = page.next_page_token or ""
        if not token:
            return found


def _client(config: PipelinesConfig) -> Any:
    from kfp import Client

    if not config.host:
        raise PipelineError(
            "no Kubeflow Pipelines host; set pipelines.host in homefeed.yaml, or "
            "--set pipelines.host=http://HOST:PORT"
        )
    with _kfp_errors(config), warnings.catch_warnings():
        # It says so to everybody, whatever the host's version is, before any error of ours.
        warnings.filterwarnings("ignore", "This client only works with Kubeflow", FutureWarning)
        return Client(host=config.host, existing_token=os.environ.get("KFP_TOKEN"))


@contextmanager
def _kfp_errors(config: PipelinesConfig) -> Iterator[None]:
    """Turn what the client raises into one line that names the host.

    What it prints goes to standard error: standard output holds a verb's answer alone.
    """
    from kfp_server_api.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    try:
        with redirect_stdout(sys.stderr):
            yield
    except ApiException as error:
        reason = f"{error.status} {error.reason}"
        raise PipelineError(f"Kubeflow Pipelines at {config.host} refused: {reason}") from None
    except (HTTPError, ConnectionError, TimeoutError):  # the last: a server, but not Kubeflow's
        raise PipelineError(
            f"no answer from Kubeflow Pipelines at {config.host}; is pipelines.host right?"
        ) from None
    except ValueError as error:  # such as two pipelines of one name
        raise PipelineError(f"Kubeflow Pipelines at {config.host}: {error}") from None
