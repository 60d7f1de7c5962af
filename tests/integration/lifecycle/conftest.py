"""The workspace that the tests of this folder share: the lifecycle ran in it once."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from homefeed_cli.main import main
from serving.ports import free_port

SMALLER = {
    **{"world.users": 200, "world.items": 300},
    **{"user_encoder.steps": 20, "user_encoder.checkpoint_every": 5},
    **{"evaluation.bootstrap_samples": 50, "ranker.fit.epochs": 0.25},
}


@dataclass
class Lived:
    """A workspace in which the lifecycle ran, and what it printed."""

    workspace: Path
    port: int
    out: str = ""
    err: str = ""
    code: int = -1

    def options(self, recipe: dict[str, float]) -> list[str]:
        """What keeps every call in this workspace, and the recipe's changes."""
        chosen = {"serving.port": self.port, **recipe, "storage.root": self.workspace}
        return [word for key, value in chosen.items() for word in ("--set", f"{key}={value}")]

    def run(self, *words: str, recipe: dict[str, float]) -> subprocess.CompletedProcess[str]:
        """Call the program itself."""
        command = [sys.executable, "-m", "homefeed_cli.main", *words, *self.options(recipe)]
        return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="session")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """``homefeed run --recipe tiny``, smaller still."""
    port = free_port("127.0.0.1")  # another server may have the port of the configuration
    lived = Lived(tmp_path_factory.mktemp("lifecycle") / "workspace", port)
    done = lived.run("run", "--recipe", "tiny", recipe=SMALLER)
    lived.out, lived.err, lived.code = done.stdout, done.stderr, done.returncode
    assert lived.code == 0, f"{lived.out}\n{lived.err}"
    return lived


@pytest.fixture
def homefeed(lived: Lived, capsys: pytest.CaptureFixture[str]) -> Any:
    """Call ``homefeed`` in this process; returns exit code, standard output and error."""

    def call(*words: str) -> tuple[int, str, str]:
        code = main([*words, *lived.options({})])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call
