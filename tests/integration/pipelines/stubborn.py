"""The process of a run that does not end when it is asked to, nor does what it started."""

import signal
import subprocess
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # inherited by what it starts
    other = subprocess.Popen(["sleep", "600"])
    (Path(sys.argv[1]) / "processes").write_text(str(other.pid))
    print("INFO - Executing task 'train-forever'", flush=True)
    time.sleep(600)
