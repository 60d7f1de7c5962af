"""The pipelines by name, and the arguments that a run of one takes."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from homefeed.artifacts import fingerprint
from homefeed.config import Config, PipelinesConfig, ServingConfig
from homefeed.errors import DatasetError, PipelineError, UsageError
from homefeed.plain_values import suggestion
from pipelines.abtest import abtest
from pipelines.code_version import code_version
from pipelines.daily import daily
from pipelines.embeddings import embeddings
from pipelines.lifecycle import lifecycle
from pipelines.names import DEFAULT_RECIPE
from pipelines.ranking import ranking
from pipelines.serving_url import serving_url

PIPELINES: dict[str, Callable[..., Any]] = {
    "embeddings": embeddings,
    "daily": daily,
    "ranking": ranking,
    "abtest": abtest,
    "lifecycle": lifecycle,
}
EVENTS = "events"  # what servers have logged
NAMES_OF_NO_FILE = ("world", EVENTS)


def find(name: str) -> Callable[..., Any]:
    """The pipeline of this name; PipelineError with a suggestion where there is none."""
    if name not in PIPELINES:
        raise PipelineError(f"unknown pipeline {name!r}{suggestion(name, PIPELINES)}")
    return PIPELINES[name]


def arguments_for(
    name: str,
    config: Config,
    data: str,
    recipe_name: str,
    date: str,
    overrides: tuple[str, ...],
    *,
    cluster: bool = False,
) -> dict[str, Any]:
    """The arguments of a run: paths made absolute, each section of the recipe as JSON.

    Empty ``data`` is the pipeline's default: the event log for *daily*, `world` for the others.
    ``cluster``: the data lies where the cluster can read it, so it is not looked at here.
    Raises UsageError for what this pipeline does not take, ConfigError, DatasetError.
    """
    # Imports torch, which the process that only runs a pipeline need not wait for.
    from homefeed.recipes import SECTIONS, config_json, recipe, section_json
    from homefeed.steps.lineage import end_of

    if date:
        end_of(date)  # a wrong one is told before anything starts
    parameters = _parameters(name)
    data = data or parameters["data"].default
    if data == EVENTS and parameters["data"].default != EVENTS:
        raise UsageError(
            f"pipeline {name} does not read the event log; only daily takes --data {EVENTS}; for "
            f"a folder of that name say --data ./{EVENTS}"
        )
    made = recipe(recipe_name or DEFAULT_RECIPE, overrides)
    _require_taken(name, recipe_name, date, overrides)
    is_here = data not in NAMES_OF_NO_FILE and not cluster
    if cluster and not (data in NAMES_OF_NO_FILE or data.startswith("/") or "://" in data):
        raise UsageError(
            f"--data {data} is a path of this machine; give the folder as the cluster's pods see "
            f"it, such as {config.storage.root}/data/{Path(data).name}"
        )
    everything = {
        "data": str(Path(data).expanduser().resolve()) if is_here else data,
        "data_fingerprint": _fingerprint(Path(data).expanduser(), config) if is_here else "",
        "date": date,
        "code_version": code_version(),
        # Where a server listens, or a cluster is, changes no artifact: it must not miss the cache.
        "config": config_json(
            replace(config, serving=ServingConfig(), pipelines=PipelinesConfig())
        ),
        "serving_url": serving_url(config, cluster=cluster),
        **{section: section_json(made, section) for section in SECTIONS},
    }
    return {key: everything[key] for key in parameters}


def _parameters(name: str) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(find(name).pipeline_func).parameters  # type: ignore[attr-defined]


def _require_taken(name: str, recipe_name: str, date: str, overrides: tuple[str, ...]) -> None:
    """Raise UsageError for an option that fills none of the pipeline's parameters."""
    from homefeed.recipes import SECTIONS

    given = [(f"--date {date}", {"date"})] if date else []
    given += [(f"--recipe {recipe_name}", set(SECTIONS))] if recipe_name else []
    given += [(f"--set {text}", {text.partition(".")[0]}) for text in overrides]
    for option, fills in given:
        if fills.isdisjoint(_parameters(name)):
            takers = [other for other in PIPELINES if not fills.isdisjoint(_parameters(other))]
            raise UsageError(
                f"pipeline {name} does not take {option}, it would change nothing; leave it out "
                f"(pipelines that take it: {', '.join(takers)})"
            )


def _fingerprint(path: Path, config: Config) -> str:
    """Over what a run reads of the data; the workspace may lie among them and changes each run."""
    from homefeed.data.contract import Dataset
    from homefeed.data.specification import FILE_NAME, read_spec

    if not path.exists():
        raise DatasetError(
            f"{path} does not exist; give `world`, a folder with dataset.yaml, a folder of a "
            "known public set, or a sequence file"
        )
    if (path / FILE_NAME).is_file():  # its tables may lie anywhere
        return Dataset(path, read_spec(path / FILE_NAME)).fingerprint()
    return fingerprint(path, leave_out=config.workspace)
