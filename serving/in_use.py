"""Whether a server has a workspace's event log open: nobody may move the log from under it."""

import fcntl
from pathlib import Path
from typing import IO

from homefeed.errors import BusyError

LOCK = "serving.lock"


def held(workspace: Path) -> IO[str]:
    """Mark the workspace as served until the returned file is closed, or the process ends."""
    workspace.mkdir(parents=True, exist_ok=True)
    file = (workspace / LOCK).open("a")
    fcntl.flock(file, fcntl.LOCK_SH)  # workers share it
    return file


def require_unserved(workspace: Path) -> None:
    """BusyError where any server has this workspace's event log open."""
    if not (workspace / LOCK).exists():
        return
    with (workspace / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(
                f"a server answers from {workspace} and writes its event log; stop it, or run in "
                "another workspace with --set storage.root=FOLDER"
            ) from None
