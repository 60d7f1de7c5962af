import subprocess
import sys

import pytest

from homefeed.errors import BusyError
from serving.in_use import held, require_unserved

DIES = """
import os, sys
from pathlib import Path
from serving.in_use import held
file = held(Path(sys.argv[1]))
os._exit(9)
"""


def test_a_served_workspace_is_told_apart_and_workers_share_it(tmp_path):
    require_unserved(tmp_path)
    one, two = held(tmp_path), held(tmp_path)
    with pytest.raises(BusyError, match="stop it, or run in another workspace"):
        require_unserved(tmp_path)
    one.close()
    with pytest.raises(BusyError):
        require_unserved(tmp_path)
    two.close()
    require_unserved(tmp_path)


def test_a_server_that_died_serves_no_more(tmp_path):
    assert subprocess.run([sys.executable, "-c", DIES, str(tmp_path)]).returncode == 9
    require_unserved(tmp_path)
