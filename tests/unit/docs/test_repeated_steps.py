"""What the page of the lifecycle says a second run repeats is what is never cached."""

import re
from pathlib import Path

from pipelines.lifecycle import lifecycle

PAGE = Path(__file__).parents[3] / "docs" / "pipelines" / "lifecycle.md"


def test_the_page_names_exactly_the_steps_that_are_never_cached() -> None:
    tasks = lifecycle.pipeline_spec.root.dag.tasks
    uncached = {name for name, task in tasks.items() if not task.caching_options.enable_cache}
    told = PAGE.read_text().partition("- Never cached")[2].partition("Publishing and")[0]
    assert set(re.findall(r"`([a-z-]+)`", told)) == uncached
