"""Each look of `homefeed doctor` tells a bad machine from a good one, and says what to do."""

import importlib.metadata
import os
import shutil
import socket
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from homefeed.config import Config, ServingConfig, StorageConfig, TrainingConfig
from homefeed_cli import doctor

CONFIG = Config()
_Disk = namedtuple("_Disk", "total used free")


def test_another_python_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    for version, state in (((3, 10, 1), "problem"), ((3, 11, 9), "ok"), ((3, 13, 0), "problem")):
        monkeypatch.setattr(doctor, "sys", SimpleNamespace(version_info=version))
        assert doctor._python(CONFIG).state == state


@pytest.mark.parametrize(("found", "named"), [("1.0", "kfp 1.0"), (None, "kfp missing")])
def test_a_package_of_another_version_or_none_is_a_problem(
    found: str | None, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if name == "kfp" and found is None:
            raise importlib.metadata.PackageNotFoundError
        return found if name == "kfp" and found else f"{doctor.PINNED[name]}+cpu"

    monkeypatch.setattr(importlib.metadata, "version", version)
    finding = doctor._packages(CONFIG)
    assert finding.state == "problem"
    assert finding.found == f"{named} (pinned {doctor.PINNED['kfp']})"
    monkeypatch.setattr(importlib.metadata, "version", doctor.PINNED.__getitem__)
    assert doctor._packages(CONFIG).state == "ok"


def test_the_pins_are_those_of_the_constraints() -> None:
    lines = (Path(doctor.__file__).parents[1] / "constraints.txt").read_text().splitlines()
    assert {f"{name}=={version}" for name, version in doctor.PINNED.items()} <= set(lines)


def test_more_workers_than_cores_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    many = Config(training=TrainingConfig(num_workers=3))
    assert doctor._cores(many).state == "warning"
    assert doctor._cores(many).advice == "--set training.num_workers=2"
    assert doctor._cores(Config(training=TrainingConfig(num_workers=2))).state == "ok"


def test_little_memory_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    for gib, state in ((4, "warning"), (8, "ok")):
        values = {"SC_PHYS_PAGES": gib * 2**18, "SC_PAGE_SIZE": 4096}
        monkeypatch.setattr(os, "sysconf", values.__getitem__)
        assert doctor._memory(CONFIG).state == state


def test_a_disk_that_is_nearly_full_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    for gib, state in ((4, "problem"), (6, "ok")):
        free = gib * 2**30
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: _Disk(free, 0, free))
        assert doctor._disk(CONFIG).state == state


def test_bytecode_that_is_not_written_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert doctor._bytecode(CONFIG).state == "warning"
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE")
    assert doctor._bytecode(CONFIG).state == "ok"


def _in(root: Path) -> Config:
    return Config(storage=StorageConfig(root=str(root)))


def test_a_workspace_below_a_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    finding = doctor._workspace(_in(tmp_path / "taken" / "x"))
    assert finding.state == "problem"
    assert "taken is a file" in finding.found
    assert doctor._workspace(_in(tmp_path / "taken")).state == "problem"
    assert doctor._workspace(_in(tmp_path / "new" / "one")).state == "ok"


def test_a_workspace_that_cannot_be_written_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    finding = doctor._workspace(_in(tmp_path / "new"))
    assert (finding.state, finding.found) == ("problem", f"{tmp_path} is not writable")


def test_a_port_that_is_taken_is_a_warning() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert doctor._port(Config(serving=ServingConfig(port=port))).state == "warning"
    assert doctor._port(Config(serving=ServingConfig(port=0))).state == "ok"


def test_a_gpu_that_is_wanted_and_not_there_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cuda = Config(training=TrainingConfig(device="cuda", backend="nccl"))
    assert doctor._gpu(cuda).state == "problem"
    assert doctor._gpu(CONFIG).state == "ok"


def test_no_compiler_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, state in (("/usr/bin/clang++", "ok"), (None, "warning")):
        monkeypatch.setattr(
            shutil, "which", lambda name, there=there: there if name == "clang++" else None
        )
        assert doctor._compiler(CONFIG).state == state


def test_a_problem_ends_with_code_two_and_its_advice(homefeed: Any, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    said = homefeed("doctor", "--set", "storage.root=taken/x")
    assert said.code == 2
    assert "PROBLEM  workspace" in said.out
    assert "→ --set storage.root=FOLDER" in said.out
