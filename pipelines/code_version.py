"""What code made an artifact: a hash of the source files, uncommitted edits included."""

import hashlib
import subprocess
from pathlib import Path

import homefeed

ROOT = Path(homefeed.__file__).parent.parent
PACKAGES = ("homefeed", "components", "pipelines", "feature_repo", "serving")


def code_version(root: Path = ROOT) -> str:
    """``0.1.0+<12 hexadecimal digits>``: the version and a hash over the source files."""
    digest = hashlib.blake2b(digest_size=6)
    for package in PACKAGES:
        for file in sorted((root / package).rglob("*.py")):
            digest.update(str(file.relative_to(root)).encode())
            digest.update(file.read_bytes())
    return f"{homefeed.__version__}+{digest.hexdigest()}"


def commit(root: Path = ROOT) -> str:
    """The git commit of the checkout (12 digits, ``-dirty`` with edits), or the code version."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return code_version(root)
    return said.stdout.strip() if said.returncode == 0 else code_version(root)
