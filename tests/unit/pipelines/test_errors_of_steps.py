"""What a failed step is said to have died of."""

import sys
from pathlib import Path

import pytest

from homefeed.config import Config, PipelinesConfig, StorageConfig, TrainingConfig
from pipelines.local import run_pipeline
from pipelines.runs import LogReader, Run

HEADER = "Traceback (most recent call last):"
STARTED = "10:00:00.000 - INFO - Executing task 'toy'"


def _error_of(*lines: str) -> tuple[str, str]:
    """What is read from these lines of a step, which kfp indents by four."""
    reader = LogReader(Run("toy-1", "toy", {}))
    for line in (STARTED, *(f"    {line}" for line in lines)):
        reader.read(f"{line}\n", 0.0)
    return reader.error_kind, reader.error


@pytest.mark.parametrize(
    ("line", "kind", "message"),
    [
        ("AssertionError", "AssertionError", ""),
        ("httpx.ReadTimeout: timed out", "ReadTimeout", "timed out"),
        ("subprocess.TimeoutExpired: Command 'x' timed out", "TimeoutExpired", "Command 'x'"),
        ("ray.exceptions.RayTaskError(ValueError): ray::f()", "ValueError", "ray::f()"),
        ("homefeed.errors.CheckRefused: 12 % of rows", "CheckRefused", "12 % of rows"),
        ("StopIteration: 3", "StopIteration", "3"),
    ],
)
def test_a_traceback_ends_with_the_error_whatever_its_name(
    line: str, kind: str, message: str
) -> None:
    found = _error_of(HEADER, '  File "a.py", line 1, in <module>', "    Oops", line)
    assert found[0] == kind
    assert found[1].startswith(message)


def test_of_a_chain_of_errors_the_last_is_the_steps() -> None:
    chain = "During handling of the above exception, another exception occurred:"
    first = (HEADER, '  File "a.py", line 1', "KeyError: 'x'", "")
    assert _error_of(*first, chain, "", HEADER, '  File "a.py"', "httpx.ReadTimeout: late") == (
        "ReadTimeout",
        "late",
    )


def test_the_error_of_a_ray_worker_follows_its_name() -> None:
    named = "ray.exceptions.RayTaskError(ValueError): ray::train() (pid=7)"
    assert _error_of(HEADER, named, '  File "b.py", line 3, in train', "ValueError: no rows") == (
        "ValueError",
        "no rows",
    )


def test_lines_after_an_error_and_lines_of_a_log_are_not_errors() -> None:
    assert _error_of("INFO: fine", "ValueError: only told of") == ("", "")
    after = _error_of(HEADER, "KeyError: 'x'", "hint: look there", "done", "  Error: indented")
    assert after == ("KeyError", "'x'")


_CHILD = """
import sys
print("10:00:00.000 - INFO - Executing task 'toy'")
print("    Traceback (most recent call last):")
sys.stdout.flush()
sys.stdout.buffer.write(b"    %s\\n    \\xff\\n")
print("10:00:00.000 - ERROR - Task 'toy' finished with status FAILURE")
sys.exit(1)
"""


@pytest.mark.parametrize(
    ("line", "said", "code"),
    [
        ("AssertionError", "AssertionError", 2),
        ("httpx.ReadTimeout: late", "ReadTimeout: late", 2),
        ("homefeed.errors.CheckRefused: bad rows", "bad rows", 3),
        ("a line that names none", "its process ended without an error of its own", 2),
    ],
)
def test_a_run_ends_with_its_steps_error_and_code_whatever_bytes_it_printed(
    line: str, said: str, code: int, tmp_path: Path
) -> None:
    child = (sys.executable, "-c", _CHILD % line)
    config = Config(
        storage=StorageConfig(root=str(tmp_path)),
        training=TrainingConfig(num_workers=0),
        pipelines=PipelinesConfig(run_timeout_s=60),
    )
    run = run_pipeline("daily", {}, config, "0.1.0+abc", lambda *_: None, child=child)
    assert (run.status, run.exit_code) == ("failed", code)
    assert run.error.startswith(said)
    assert "\ufffd" in (tmp_path / "runs" / run.run_id / "log.txt").read_text(encoding="utf-8")
