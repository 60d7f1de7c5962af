"""What a step's process imports: seconds each, paid in every run (docs/lab_log.md)."""

import subprocess
import sys

import pytest

# The steps that neither fit nor score.
TORCHLESS = ["data", "item_encoder", "publishing", "training_set", "releases", "abtests", "visits"]


@pytest.mark.parametrize("step", TORCHLESS)
def test_a_step_without_a_network_does_not_load_torch(step: str) -> None:
    code = f"import sys, homefeed.steps.{step}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_feast_loads_torch_when_it_is_asked_for_tensors() -> None:
    code = """
import sys
from feature_repo.connection import import_feast
import_feast()
from feast.torch_wrapper import get_torch
assert 'torch' not in sys.modules
assert get_torch() is sys.modules['torch']
"""
    subprocess.run([sys.executable, "-c", code], check=True)
