"""``homefeed doctor``: check the machine and the environment, and say what to do."""

import argparse
import importlib.metadata
import os
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from homefeed.config import Config
from homefeed_cli.verb import Answer, Parsers, add_verb, config_of

PINNED = {
    **{"torch": "2.13.0", "kfp": "2.17.0", "ray": "2.60.0", "mlflow": "3.17.2"},
    **{"feast": "0.67.0", "bentoml": "1.4.39", "great-expectations": "1.24.1"},
}


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
    looks: list[Callable[[Config], Finding]] = [
        _python, _packages, _cores, _memory, _disk, _bytecode, _workspace, _port, _gpu, _compiler,
    ]  # fmt: skip
    findings = [look(config) for look in looks]
    mark = {"ok": "ok      ", "warning": "warning ", "problem": "PROBLEM "}
    lines = [
        f"{mark[f.state]} {f.subject:12} {f.found}" + (f"\n{'':22}→ {f.advice}" if f.advice else "")
        for f in findings
    ]
    bad = any(f.state == "problem" for f in findings)
    return Answer([asdict(f) for f in findings], "\n".join(lines), 2 if bad else 0)


def _python(_: Config) -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    good = (3, 11) <= sys.version_info[:2] <= (3, 12)
    return Finding("python", "ok" if good else "problem", found, "" if good else "use 3.11 or 3.12")


def _packages(_: Config) -> Finding:
    wrong = []
    for name, version in PINNED.items():
        try:
            found = importlib.metadata.version(name).split("+")[0]
        except importlib.metadata.PackageNotFoundError:
            found = "missing"
        if found != version:
            wrong.append(f"{name} {found} (pinned {version})")
    if wrong:
        advice = "run `make setup`, which installs the pinned versions"
        return Finding("packages", "problem", ", ".join(wrong), advice)
    return Finding("packages", "ok", f"{len(PINNED)} pinned packages as pinned")


def _cores(config: Config) -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    needed = config.training.num_workers
    if cores is not None and cores < needed:
        return Finding(
            *("cores", "warning", f"{cores} for {needed} training workers"),
            f"--set training.num_workers={cores}",
        )
    return Finding("cores", "ok", str(cores))


def _memory(_: Config) -> Finding:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    advice = "" if pages >= 6 else "the default run needs 6 GB: use --recipe tiny"
    return Finding("memory", "ok" if pages >= 6 else "warning", f"{pages:.0f} GiB", advice)


def _existing(folder: Path) -> Path:
    return next(p for p in (folder, *folder.parents) if p.exists())


def _disk(config: Config) -> Finding:
    free = shutil.disk_usage(_existing(config.workspace)).free / 2**30
    advice = "" if free >= 5 else "free some space, or --set storage.root=FOLDER on another disk"
    return Finding("disk", "ok" if free >= 5 else "problem", f"{free:.0f} GiB free", advice)


def _bytecode(_: Config) -> Finding:
    if os.environ.get("PYTHONDONTWRITEBYTECODE"):
        advice = "unset PYTHONDONTWRITEBYTECODE: every step would recompile its imports"
        return Finding("bytecode", "warning", "not written", advice)
    return Finding("bytecode", "ok", "written")


def _workspace(config: Config) -> Finding:
    folder = _existing(config.workspace)
    if not folder.is_dir():
        found = f"{folder} is a file, not a folder"
    elif not os.access(folder, os.W_OK | os.X_OK):
        found = f"{folder} is not writable"
    else:
        return Finding("workspace", "ok", str(config.workspace))
    return Finding("workspace", "problem", found, "--set storage.root=FOLDER")


def _port(config: Config) -> Finding:
    port = config.serving.port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.serving.host, port))
        except OSError as error:
            advice = "a server may be running already; or --set serving.port=3001"
            return Finding("port", "warning", f"{port}: {error.strerror}", advice)
    return Finding("port", "ok", f"{port} is free")


def _gpu(config: Config) -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding("gpu", "ok", torch.cuda.get_device_name(0))
    if config.training.device == "cuda":
        advice = "--set training.device=cpu --set training.backend=gloo"
        return Finding("gpu", "problem", "training.device is cuda, no GPU found", advice)
    return Finding("gpu", "ok", "none; the profile trains on the CPU")


def _compiler(_: Config) -> Finding:
    found = shutil.which("g++") or shutil.which("clang++")
    if found:
        return Finding("compiler", "ok", found)
    advice = "scoring runs uncompiled; install g++ to have it compiled"
    return Finding("compiler", "warning", "no C++ compiler", advice)
