"""Each look of `homefeed doctor` tells a bad machine from a good one, and says what to do."""

import socket
from pathlib import Path
from typing import Any

import pytest

from homefeed.config import Config, load_config
from homefeed_cli import doctor

AS_PINNED = {name: f"{version}+cpu" for name, version in doctor.PINNED.items()}


@pytest.mark.parametrize(
    ("version", "state"), [((3, 10, 1), "problem"), ((3, 11, 9), "ok"), ((3, 13, 0), "problem")]
)
def test_another_python_is_a_problem(version: tuple[int, ...], state: str) -> None:
    assert doctor.python(version).state == state


@pytest.mark.parametrize(("found", "named"), [("1.0", "kfp 1.0"), (None, "kfp missing")])
def test_a_package_of_another_version_or_none_is_a_problem(found: str | None, named: str) -> None:
    finding = doctor.packages({**AS_PINNED, "kfp": found})
    assert finding.state == "problem"
    assert finding.found == f"{named} (pinned {doctor.PINNED['kfp']})"
    assert "make setup" in finding.advice
    assert doctor.packages(AS_PINNED).state == "ok"


def test_the_pins_are_those_of_the_constraints() -> None:
    lines = (Path(doctor.__file__).parents[1] / "constraints.txt").read_text().splitlines()
    assert {f"{name}=={version}" for name, version in doctor.PINNED.items()} <= set(lines)


def test_more_workers_than_cores_is_a_warning() -> None:
    assert doctor.cores(2, 3).state == "warning"
    assert doctor.cores(2, 3).advice == "--set training.num_workers=2"
    assert doctor.cores(2, 2).state == "ok"


def test_little_memory_is_a_warning() -> None:
    assert [doctor.memory(gib).state for gib in (4.0, 8.0)] == ["warning", "ok"]


def test_the_six_gigabytes_that_the_default_run_needs_are_enough() -> None:
    assert doctor.memory(6e9 / 2**30).state == "ok"


NO_LIMIT = {
    "version 2": {"memory.max": "max\n", "cpu.max": "max 100000\n"},
    "version 1": {
        "memory/memory.limit_in_bytes": f"{2**63 - 4096}\n",
        **{"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
    },
    "none": {},
    "unreadable": {"memory.max": "a lot", "cpu.max": "200000 0"},
}
LIMITED = {
    "version 2": {"memory.max": f"{2**30}\n", "cpu.max": "150000 100000\n"},
    "version 1": {
        "memory/memory.limit_in_bytes": f"{2**30}\n",
        **{"cpu/cpu.cfs_quota_us": "150000\n", "cpu/cpu.cfs_period_us": "100000\n"},
    },
}


def cgroups(root: Path, files: dict[str, str]) -> Path:
    """The control group of a container with these files."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def looked_at(root: Path, cores: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What doctor finds on a machine with 64 GiB and so many cores, by subject."""
    pages = {"SC_PHYS_PAGES": 2**24, "SC_PAGE_SIZE": 2**12}
    monkeypatch.setattr(doctor.os, "sysconf", pages.__getitem__)
    monkeypatch.setattr(doctor.os, "sched_getaffinity", lambda _: range(cores), raising=False)
    return {f.subject: f.found for f in doctor.look(Config(), root)}


@pytest.mark.parametrize("version", LIMITED)
def test_a_containers_limits_count_where_they_are_smaller(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = cgroups(tmp_path, LIMITED[version])
    found = looked_at(root, 16, monkeypatch)
    assert (found["memory"], found["cores"].split()[0]) == ("1 GiB", "1")
    large = {name: text.replace(f"{2**30}", f"{2**40}") for name, text in LIMITED[version].items()}
    large = {name: text.replace("150000", "9900000") for name, text in large.items()}
    found = looked_at(cgroups(tmp_path, large), 16, monkeypatch)
    assert (found["memory"], found["cores"]) == ("64 GiB", "16")


@pytest.mark.parametrize("files", NO_LIMIT.values(), ids=NO_LIMIT)
def test_without_a_limit_the_machine_counts(
    files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = looked_at(cgroups(tmp_path, files), 16, monkeypatch)
    assert (found["memory"], found["cores"]) == ("64 GiB", "16")


def test_a_disk_that_is_nearly_full_is_a_problem() -> None:
    assert [doctor.disk(gib).state for gib in (4.0, 6.0)] == ["problem", "ok"]


def test_bytecode_that_is_not_written_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert bytecode_of(doctor.look(Config())).state == "warning"
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE")
    assert bytecode_of(doctor.look(Config())).state == "ok"


def bytecode_of(findings: list[doctor.Finding]) -> doctor.Finding:
    return next(finding for finding in findings if finding.subject == "bytecode")


def test_a_workspace_below_a_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    finding = doctor.workspace(tmp_path / "taken" / "x")
    assert finding.state == "problem"
    assert "taken is a file" in finding.found
    assert doctor.workspace(tmp_path / "taken").state == "problem"
    assert doctor.workspace(tmp_path / "new" / "one").state == "ok"


def test_a_workspace_that_cannot_be_written_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)  # root may write everywhere
    finding = doctor.workspace(tmp_path / "new")
    assert (finding.state, finding.found) == ("problem", f"{tmp_path} is not writable")


def test_a_port_that_is_taken_is_a_warning() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        assert doctor.port("127.0.0.1", number).state == "warning"
    assert doctor.port("127.0.0.1", 0).state == "ok"


def test_a_gpu_that_is_wanted_and_not_there_is_a_problem() -> None:
    on_gpu = ("training.device=cuda", "training.num_workers=2")
    training, scoring, neither = (
        load_config(overrides=given).config
        for given in (on_gpu, ("serving.scorer_device=cuda",), ())
    )
    assert doctor.gpu([], training).state == "problem"
    assert doctor.gpu([], scoring).advice == "--set serving.scorer_device=cpu"
    assert doctor.gpu(["H100"], training).advice == "--set training.num_workers=1"
    assert doctor.gpu(["H100", "H100"], training).found == "H100, H100"
    assert doctor.gpu(["H100"], scoring).state == doctor.gpu([], neither).state == "ok"


def test_a_problem_ends_with_code_two_and_its_advice(homefeed: Any, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    said = homefeed("doctor", "--set", "storage.root=taken/x")
    assert said.code == 2
    assert "PROBLEM  workspace" in said.out
    assert "→ --set storage.root=FOLDER" in said.out
