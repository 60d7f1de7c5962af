"""Every pipeline compiles to the YAML that lies beside this file, byte for byte.

After a change that is meant: ``pytest tests/golden --update-golden``.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines.compiled import compile_pipeline
from pipelines.names import NAMES

COMPILE_ALL = """
import sys
from pathlib import Path
from pipelines.compiled import compile_pipeline
from pipelines.names import NAMES
for name in NAMES:
    compile_pipeline(name, Path(sys.argv[1]) / f"{name}.yaml")
"""


@pytest.mark.parametrize("name", NAMES)
def test_a_pipeline_compiles_to_its_golden_file(name: str, tmp_path: Path, golden: Any) -> None:
    found = compile_pipeline(name, tmp_path / f"{name}.yaml").read_text()
    same = found == golden(f"pipelines/{name}.yaml", found)
    assert same, f"{name} compiles differently: look at the diff of pytest --update-golden"


def test_there_is_no_golden_file_without_a_pipeline() -> None:
    found = {path.stem for path in (Path(__file__).parent / "pipelines").glob("*.yaml")}
    assert found == set(NAMES)


def test_compiling_does_not_depend_on_the_hash_seed(tmp_path: Path) -> None:
    texts = []
    for seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", COMPILE_ALL, str(tmp_path / seed)]
        subprocess.run(command, env=environment, check=True)
        texts.append({p.name: p.read_text() for p in (tmp_path / seed).iterdir()})
    assert texts[0] == texts[1]
    assert len(texts[0]) == len(NAMES)
