"""``homefeed doctor``: check the machine and the environment, and say what to do."""

import argparse
import importlib.metadata
import os
import shutil
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from homefeed import container
from homefeed.config import Config
from homefeed_cli.verb import Answer, Parsers, add_verb, config_of
from homefeed_cli.waiting import waiting

PINNED = {
    **{"torch": "2.13.0", "kfp": "2.17.0", "ray": "2.60.0", "mlflow": "3.17.2"},
    **{"feast": "0.67.0", "bentoml": "1.4.39", "great-expectations": "1.24.1"},
}
NEEDED_BYTES = 6e9  # memory of the default run


@dataclass(frozen=True)
class Finding:
    """One thing looked at: ok, warning or problem, and what to do about it."""

    subject: str
    state: str
    found: str
    advice: str = ""


def add(parsers: Parsers) -> None:
    """Add the verb."""
    add_verb(
        *(parsers, "doctor", run),
        "Check the machine and the environment, and say what to do.",
        "homefeed doctor --json",
    )


def run(args: argparse.Namespace) -> Answer:
    """Look at everything; exit 2 where there is a problem."""
    config = config_of(args)
    with waiting("looking at the machine", quiet=args.json):
        findings = look(config)
    mark = {"ok": "ok      ", "warning": "warning ", "problem": "PROBLEM "}
    lines = [
        f"{mark[f.state]} {f.subject:12} {f.found}" + (f"\n{'':22}→ {f.advice}" if f.advice else "")
        for f in findings
    ]
    bad = any(f.state == "problem" for f in findings)
    return Answer([asdict(f) for f in findings], "\n".join(lines), 2 if bad else 0)


def look(config: Config, cgroups: Path = container.CGROUPS) -> list[Finding]:
    """Read the machine, and the container's limits below ``cgroups``; judge what is found."""
    return [
        python(sys.version_info[:3]),
        packages({name: _installed(name) for name in PINNED}),
        cores(container.cores(cgroups), config.training.num_workers),
        memory(container.memory(cgroups) / 2**30),
        disk(shutil.disk_usage(_existing(config.workspace)).free / 2**30),
        bytecode(bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))),
        workspace(config.workspace),
        port(config.serving.host, config.serving.port),
        _gpu(config),
    ]


def python(version: tuple[int, ...]) -> Finding:
    """Judge Python's version."""
    found = ".".join(map(str, version))
    good = (3, 11) <= version[:2] <= (3, 12)
    return Finding("python", "ok" if good else "problem", found, "" if good else "use 3.11 or 3.12")


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def packages(installed: Mapping[str, str | None]) -> Finding:
    """Compare the versions installed (None: not there) with those pinned."""
    wrong = []
    for name, version in PINNED.items():
        found = (installed[name] or "missing").split("+")[0]  # torch 2.13.0+cpu is 2.13.0
        if found != version:
            wrong.append(f"{name} {found} (pinned {version})")
    if wrong:
        advice = "run `make setup`, which installs the pinned versions"
        return Finding("packages", "problem", ", ".join(wrong), advice)
    return Finding("packages", "ok", f"{len(PINNED)} pinned packages as pinned")


def cores(found: int, workers: int) -> Finding:
    """Judge the cores against the training workers."""
    if found < workers:
        return Finding(
            *("cores", "warning", f"{found} for {workers} training workers"),
            f"--set training.num_workers={found}",
        )
    return Finding("cores", "ok", str(found))


def memory(gib: float) -> Finding:
    """Judge the memory that can be used."""
    enough = gib * 2**30 >= NEEDED_BYTES
    advice = "" if enough else "the default run needs 6 GB: use --recipe tiny"
    return Finding("memory", "ok" if enough else "warning", f"{gib:.0f} GiB", advice)


def _existing(folder: Path) -> Path:
    return next(p for p in (folder, *folder.parents) if p.exists())


def disk(free_gib: float) -> Finding:
    """Judge what is free on the workspace's disk."""
    good = free_gib >= 5
    advice = "" if good else "free some space, or --set storage.root=FOLDER on another disk"
    return Finding("disk", "ok" if good else "problem", f"{free_gib:.0f} GiB free", advice)


def bytecode(is_off: bool) -> Finding:
    """Judge whether imports are compiled once."""
    if is_off:
        advice = "unset PYTHONDONTWRITEBYTECODE: every step would recompile its imports"
        return Finding("bytecode", "warning", "not written", advice)
    return Finding("bytecode", "ok", "written")


def workspace(wanted: Path) -> Finding:
    """See whether the workspace can be written."""
    folder = _existing(wanted)
    if not folder.is_dir():
        found = f"{folder} is a file, not a folder"
    elif not os.access(folder, os.W_OK | os.X_OK):
        found = f"{folder} is not writable"
    else:
        return Finding("workspace", "ok", str(wanted))
    return Finding("workspace", "problem", found, "--set storage.root=FOLDER")


def port(host: str, number: int) -> Finding:
    """See whether the server's port is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, number))
        except OSError as error:
            advice = "a server may be running already; or --set serving.port=3001"
            return Finding("port", "warning", f"{number}: {error.strerror}", advice)
    return Finding("port", "ok", f"{number} is free")


def _gpu(config: Config) -> Finding:
    try:
        import torch

        names = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    except (ImportError, OSError) as error:  # OSError: a library of its own is missing or broken
        told = " ".join(str(error).split())
        return Finding("gpu", "problem", f"torch cannot be loaded: {told}", "make setup")
    return gpu(names, config)


def gpu(names: Sequence[str], config: Config) -> Finding:
    """Judge the GPUs against what trains and scores on one; each worker needs its own."""
    training, found = config.training, ", ".join(names) or "none"
    if training.device == "cuda" and len(names) < max(training.num_workers, 1):
        found = f"{found}; training.device is cuda and training.num_workers {training.num_workers}"
        advice = f"--set training.num_workers={len(names)}"
        if not names:
            advice = "--set training.device=cpu --set training.backend=gloo"
        return Finding("gpu", "problem", found, advice)
    if config.serving.scorer_device == "cuda" and not names:
        found = "none; serving.scorer_device is cuda"
        return Finding("gpu", "problem", found, "--set serving.scorer_device=cpu")
    return Finding("gpu", "ok", found if names else "none; the profile needs none")
