"""What code made an artifact: a hash of its source, uncommitted edits included, and libraries."""

import hashlib
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import homefeed

ROOT = Path(homefeed.__file__).parent.parent
PACKAGES = ("homefeed", "components", "pipelines", "feature_repo", "serving")
# Whose upgrade may change what a step writes: kfp's cache sees neither them nor our own modules.
LIBRARIES = (
    *("torch", "numpy", "scipy", "scikit-learn", "polars", "pandas", "pyarrow", "usearch"),
    *("ray", "feast", "great-expectations", "mlflow"),
)


def code_version(root: Path = ROOT, installed: Callable[[str], str] = version) -> str:
    """``0.1.0+<12 hexadecimal digits>``: the version and a hash over source files and libraries."""
    digest = hashlib.blake2b(digest_size=6)
    for library in LIBRARIES:
        digest.update(f"{library} {installed(library)}\n".encode())
    for package in PACKAGES:
        for file in sorted((root / package).rglob("*.py")):
            digest.update(str(file.relative_to(root)).encode())
            digest.update(file.read_bytes())
    return f"{homefeed.__version__}+{digest.hexdigest()}"


def commit(root: Path = ROOT) -> str:
    """The git commit of the checkout (12 digits, ``-dirty`` with edits), or the code version."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    command += ["--exclude=*"]  # a tag is no commit
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return code_version(root)
    return said.stdout.strip() if said.returncode == 0 else code_version(root)
