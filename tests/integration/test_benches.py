"""Every bench program that needs no run of its own, at a size that says nothing about speed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
SMALL = {
    "check": "--rows 5000 --repeats 1",
    "embed": "--users 100 --width 32 --repeats 1",
    "features": "--users 50 --reads 10 --repeats 1",
    "feed": "--candidates 10 --scorer in_process --seconds 0.5 --open-seconds 1 --repeats 2",
    "rank": "--candidates 30 --actions 10 --repeats 1 --lists 3",
    "sequences": "--sizes 10000 --repeats 1",
    "train_step_ranker": "--rows 128 --per-request 4 --repeats 1",
    "world_scores": "--preset tiny --days 1",
}


def _bench(name: str, words: str, folder: Path) -> str:
    """Run a program; what it shows, once its figures are written."""
    figures = folder / "figures.json"
    done = subprocess.run(
        [sys.executable, BENCH / f"{name}.py", *words.split(), "--json", figures],
        capture_output=True,
        text=True,
        cwd=BENCH.parent,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(figures.read_text())
    return done.stdout


@pytest.mark.parametrize("name", SMALL)
def test_a_bench_runs_and_writes_its_figures(name: str, tmp_path: Path) -> None:
    assert _bench(name, SMALL[name], tmp_path).strip()


def test_the_training_step_shows_wall_time_with_its_spread_beside_the_cpu_time(
    tmp_path: Path,
) -> None:
    shown = _bench("train_step", "--width 32 --users 4 --repeats 2", tmp_path)
    lines = shown.splitlines()
    (head,) = (number for number, line in enumerate(lines) if "wall ms/step" in line)
    assert lines[head].split("   ")[-5:-2] == ["spread", "wall ms/step", "spread"]
    names = ("ours", "ours256", "peer")
    for name, row in zip(names, lines[head + 1 : head + 1 + len(names)], strict=True):
        found, _, cpu_ms, cpu_spread, wall_ms, wall_spread, *_ = row.split()
        assert found == name
        assert min(float(cpu_ms), float(wall_ms)) > 0
        assert cpu_spread.endswith("%")
        assert wall_spread.endswith("%")
