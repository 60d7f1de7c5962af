"""A pipeline of two steps that does nothing but what its arguments say.

``python toy.py RUN_FOLDER`` is the child process of a local run, as pipelines.child is, that knows
this pipeline as well. The second step fails, waits or leaves processes as ``how`` tells it.
"""

import sys
from pathlib import Path

from kfp import dsl

from components.component import component
from pipelines import catalogue, child

HERE = Path(__file__)


@component
def first(text: str, code_version: str, made: dsl.Output[dsl.Artifact]) -> None:
    """Write ``text``, and say so in a line for the display."""
    from pathlib import Path

    Path(made.path).write_text(text)
    print(f"= wrote {text}")


@component
def second(made: dsl.Input[dsl.Artifact], how: str, done: dsl.Output[dsl.Artifact]) -> None:
    """Behave as the file named ``how`` says by now (only its name is in the cache's key)."""
    from pathlib import Path

    from homefeed import errors

    word, _, message = Path(how).read_text().partition(" ")
    if word == "wait":
        import os
        import subprocess
        import time

        from homefeed.artifacts import writing

        with writing(Path(done.path)) as beside:
            beside.mkdir()
            other = subprocess.Popen(["sleep", "600"])
            Path(message).write_text(f"{os.getpid()} {other.pid}")
            time.sleep(600)
    elif word == "die":
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)
    elif word != "pass":
        raise getattr(errors, word, RuntimeError)(message)
    Path(done.path).write_text(Path(made.path).read_text())


@dsl.pipeline(name="toy", description="Two steps, for tests.")
def toy(data: str = "world", how: str = "", code_version: str = "") -> None:
    """Run both."""
    second(made=first(text=data, code_version=code_version).outputs["made"], how=how)


def register() -> None:
    """Make the catalogue know it, in this process."""
    catalogue.PIPELINES["toy"] = toy


if __name__ == "__main__":
    register()
    child.end_with_launcher()
    child.main(Path(sys.argv[1]))
