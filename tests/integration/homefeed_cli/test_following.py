"""A run on this machine as a person sees it: the verb, kfp's runner and a step that fails."""

import shlex
from pathlib import Path

import pytest

from homefeed_cli.main import main
from pipelines.runs import load_run

pytestmark = pytest.mark.integration
BY_BEATS = ("  check-day: running", "  daily: after check-day")  # where a beat falls into it


@pytest.mark.usefixtures("told_at_once")
def test_a_run_is_shown_while_it_runs_and_its_failure_names_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = (f"--set=storage.root={tmp_path}", "--set=training.num_workers=0")
    code = main(["pipeline", "run", "daily", *place])
    shown = [line for line in capsys.readouterr().err.splitlines() if line not in BY_BEATS]
    run = load_run(tmp_path / "runs", "")
    (step,) = run.steps
    assert (code, run.exit_code, run.status) == (2, 2, "failed")
    assert run.error.startswith("no release is live; ")
    assert shown[:2] == ["  daily: getting ready", "  daily: starting"]
    assert shown[2][len("00:00") :] == f"  ✗ {'check-day':24} {f'{step.seconds:.1f} s':>9}"
    assert shown[3:5] == [
        f"homefeed: step check-day failed: {run.error}",
        f"  log: homefeed pipeline logs {run.run_id} --set storage.root={tmp_path}",
    ]
    assert main(shlex.split(shown[4])[2:]) == 0, "as it can be typed anywhere"
    assert run.error in capsys.readouterr().out
