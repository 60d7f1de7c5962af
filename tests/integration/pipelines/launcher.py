"""``python launcher.py CHILD WORKSPACE HOW``: a launcher of the toy pipeline, for tests to end."""

import signal
import sys

from homefeed.config import load_config
from pipelines.local import run_pipeline

if __name__ == "__main__":
    child, workspace, how = sys.argv[1:]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as the command line does
    config = load_config(overrides=(f"storage.root={workspace}", "training.num_workers=0")).config
    arguments = {"data": "text", "how": how}
    run_pipeline("toy", arguments, config, "", lambda *_: None, child=(sys.executable, child))
