"""The process of one local run: kfp.local keeps global state, so each run gets its own.

``python -m pipelines.child RUN_FOLDER`` reads run.json there and runs its pipeline. It ends with
its launcher, however that ends: the launcher holds the other end of its standard input.
"""

import logging
import os
import signal
import sys
import threading
import warnings
from pathlib import Path

from homefeed.artifacts import read_json


def main(run_folder: Path) -> None:
    """Run the pipeline that ``run.json`` names, with its arguments, step by step."""
    from kfp import local

    from pipelines.catalogue import PIPELINES
    from pipelines.runs import ARTIFACTS

    warnings.filterwarnings("ignore", message="You may be attemping to run a task")
    # kfp tells of what it took from the cache outside of its own logger.
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s - %(message)s")
    record = read_json(run_folder / "run.json")
    # workspace_root is never given: kfp deletes it after each run.
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=str(run_folder / ARTIFACTS),
        enable_caching=True,
        cache_root=str(run_folder.parent.parent / "cache"),
    )
    PIPELINES[record["pipeline"]](**record["arguments"])


def end_with_launcher() -> None:
    """End this process group, steps included, when standard input closes."""
    lifeline = os.dup(0)  # not inherited by the steps; their standard input is empty
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)

    def watch() -> None:
        while os.read(lifeline, 1):
            pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    end_with_launcher()
    main(Path(sys.argv[1]))
