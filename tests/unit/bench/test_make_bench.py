"""``make bench`` against the folder."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_make_bench_runs_every_program_that_repeats_a_measurement() -> None:
    (listed,) = re.findall(r"for b in ([\w ]+); do", (ROOT / "Makefile").read_text())
    programs = (ROOT / "bench").glob("*.py")
    repeats = [path.stem for path in programs if '"--repeats"' in path.read_text()]
    assert sorted(listed.split()) == sorted(repeats)
