"""A second run of the lifecycle repeats what its page says: what is never cached, nothing else."""

import re
from pathlib import Path
from typing import Any

from pipelines.lifecycle import lifecycle

PAGE = Path(__file__).parents[3] / "docs" / "pipelines" / "lifecycle.md"


def tasks() -> dict[str, Any]:
    return dict(lifecycle.pipeline_spec.root.dag.tasks)


def uncached() -> set[str]:
    return {name for name, task in tasks().items() if not task.caching_options.enable_cache}


def test_the_page_names_exactly_the_steps_that_are_never_cached() -> None:
    told = PAGE.read_text().partition("- Never cached")[2].partition("Publishing and")[0]
    assert set(re.findall(r"`([a-z-]+)`", told)) == uncached()


def test_no_step_of_the_cache_reads_what_is_new_in_every_run() -> None:
    """It knows an artifact by its place, and what is never cached has a new one each time."""
    for name, task in tasks().items():
        if name not in uncached():
            read = {
                given.task_output_artifact.producer_task
                for given in task.inputs.artifacts.values()
                if given.HasField("task_output_artifact")
            }
            assert not read & uncached(), name


def test_the_training_set_waits_for_what_is_published() -> None:
    assert "publish-features" in tasks()["build-training-set"].dependent_tasks


def test_a_test_is_started_once_the_gate_has_spoken() -> None:
    assert "gate-releases" in tasks()["start-abtest"].dependent_tasks
