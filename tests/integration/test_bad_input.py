"""Bad input through the command line: one clear line, its exit code, and nothing half-written."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from filelock import FileLock

from homefeed_cli.main import main

pytestmark = pytest.mark.integration
START_S, DAY_S = 1_700_000_000, 86_400
TINY = ("--recipe", "tiny", "--set", "training.num_workers=0", "--set", "user_encoder.steps=2")


def _rows(users: int = 8, days: int = 30, each: int = 20) -> pl.DataFrame:
    """A good log: every user acts through all days."""
    pairs = [(user, n) for n in range(each) for user in range(users)]
    return pl.DataFrame(
        {
            "user_id": [user for user, _ in pairs],
            "item_id": [(user * 7 + n * n) % 30 for user, n in pairs],
            "action_type": ["view" if n % 3 == 0 else "buy" for _, n in pairs],
            "timestamp": [START_S + n * days * DAY_S // each + user for user, n in pairs],
        }
    )


@pytest.fixture
def shop(tmp_path: Path) -> Callable[..., Path]:
    """Write a data set in the contract's form; returns its folder."""

    def write(rows: pl.DataFrame, **keys: Any) -> Path:
        root = tmp_path / "shop"
        root.mkdir()
        rows.write_parquet(root / "actions.parquet")
        values = {"name": "shop", "files": {"actions": "actions.parquet"}, "positive": ["buy"]}
        text = yaml.safe_dump({**values, "neutral": ["view"], **keys})
        (root / "dataset.yaml").write_text(text)
        return root

    return write


@dataclass
class Said:
    """What one call of the command line gave back."""

    code: int
    out: str
    err: str


@pytest.fixture
def homefeed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Call ``homefeed`` in this process, in the workspace ``workspace``."""

    def call(*words: str | Path) -> Said:
        root = f"storage.root={tmp_path / 'workspace'}"
        code = main([*map(str, words), "--set", root])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return call


def _written(workspace: Path) -> list[str]:
    """The files below a workspace, as places in it."""
    if not workspace.exists():
        return []
    return sorted(str(p.relative_to(workspace)) for p in workspace.rglob("*") if p.is_file())


def _without_file(root: Path) -> None:
    (root / "actions.parquet").unlink()


def _truncated(root: Path) -> None:
    file = root / "actions.parquet"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _changed(*columns: pl.Expr, drop: str = "") -> Callable[[Path], None]:
    def change(root: Path) -> None:
        rows = pl.read_parquet(root / "actions.parquet").with_columns(*columns)
        rows.drop([drop] if drop else []).write_parquet(root / "actions.parquet")

    return change


def _untimed(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(time_known=pl.lit(False))


def _emptied(root: Path) -> None:
    pl.read_parquet(root / "actions.parquet").clear().write_parquet(root / "actions.parquet")


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (shutil.rmtree, ["shop", "does not exist; give"]),
        (_without_file, ["actions.parquet", "does not exist"]),
        (_changed(drop="item_id"), ["item_id", "user_id, action_type, timestamp"]),
        (_changed(pl.lit(1.5).alias("item_id")), ["item_id", "Float64"]),
        (_changed(pl.col("timestamp") * 1000), ["look like milliseconds", "timestamp_unit: ms"]),
        (_emptied, ["actions.parquet holds no rows; export the actions again\n"]),
        (_truncated, ["actions.parquet is not a readable Parquet file"]),
    ],
    ids=["no folder", "no file", "no column", "type", "milliseconds", "empty", "truncated"],
)
def test_data_that_breaks_the_contract_is_one_line_and_leaves_nothing(
    spoil: Callable[[Path], None],
    expected: list[str],
    shop: Any,
    homefeed: Any,
    tmp_path: Path,
) -> None:
    root = shop(_rows())
    spoil(root)
    said = homefeed("data", "check", root)
    assert said.code == 2
    assert said.err.startswith("homefeed: ")
    assert said.err.count("\n") == 1
    assert all(words in said.err for words in expected), said.err
    assert _written(tmp_path / "workspace") == []


def test_rows_above_a_threshold_are_refused_with_code_three_and_examples(
    shop: Any, homefeed: Any, tmp_path: Path
) -> None:
    late = pl.when(pl.int_range(pl.len()) < 40).then(4_000_000_000).otherwise("timestamp")
    root = shop(_rows().with_columns(late.alias("timestamp")))
    said = homefeed("data", "check", root)
    assert said.code == 3
    assert said.err.count("\n") == 1
    assert "`timestamp is not in the future` fails for 40 of 160 rows" in said.err
    assert "row 0 user_id=0" in said.err
    assert "2096-10-02" in said.err, "the value is shown as the moment that it names"
    assert not (tmp_path / "workspace" / "checked" / "shop").exists()
    assert (tmp_path / "workspace" / "checked" / "shop.refused" / "report.json").exists()


def test_ids_of_any_script_are_kept_as_they_are(shop: Any, homefeed: Any, tmp_path: Path) -> None:
    names = ["用户-1", "Ωmega", "naïve user", "🙂"]
    rows = _rows(users=4)
    root = shop(rows.with_columns(pl.Series("user_id", [names[u] for u in rows["user_id"]])))
    assert homefeed("data", "check", root).code == 0
    kept = pl.read_parquet(tmp_path / "workspace" / "checked" / "shop" / "actions.parquet")
    assert set(kept["user_id"]) == set(names)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (_rows(users=1), ["it has 1 user, and a run holds some users out"]),
        (_rows(days=1), ["its times span 0.95 days, and a run needs 1.67 or more"]),
        (_untimed(_rows()), ["none of its times is known, and a run splits its data in time"]),
        (_rows(), []),
    ],
    ids=["single user", "one day", "no times", "enough"],
)
def test_a_check_that_passes_says_where_a_run_will_find_the_log_too_small(
    rows: pl.DataFrame, told: list[str], shop: Any, homefeed: Any
) -> None:
    said = homefeed("data", "check", shop(rows))
    assert said.code == 0
    assert said.out.count("too small for a run: ") == len(told)
    assert all(words in said.out for words in told)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (_rows(users=1), ["of the log's 1 users", "give a log of more users"]),
        (_rows(days=1), ["the log spans 0.95 days", "give a longer log"]),
    ],
    ids=["single user", "one day"],
)
def test_a_log_that_is_too_small_is_told_before_anything_is_trained(
    rows: pl.DataFrame, expected: list[str], shop: Any, homefeed: Any, tmp_path: Path
) -> None:
    said = homefeed("pipeline", "run", "embeddings", "--data", shop(rows), *TINY)
    assert said.code == 2
    last = said.err.splitlines()[-3:]  # the error, where the log is, how to go on
    assert last[0].startswith("homefeed: step fit-item-encoder failed: ")
    assert all(words in last[0] for words in expected), last[0]
    assert (
        last[2]
        == "  once it is mended, the same command goes on at the first step that it concerns"
    )
    assert "Traceback" not in said.err
    (outputs,) = (tmp_path / "workspace" / "runs").glob("*/artifacts/*/fit-item-encoder")
    assert [p.name for p in outputs.iterdir() if p.name != "executor_output.json"] == []


def test_a_second_run_at_the_same_time_is_one_line_and_leaves_nothing(
    shop: Any, homefeed: Any, tmp_path: Path
) -> None:
    (tmp_path / "workspace").mkdir()
    root = shop(_rows())
    with FileLock(tmp_path / "workspace" / "writer.lock"):
        said = homefeed("pipeline", "run", "embeddings", "--data", root, *TINY)
    assert said.code == 2
    assert said.err.startswith("homefeed: another pipeline run is writing to ")
    assert said.err.count("\n") == 1
    assert _written(tmp_path / "workspace") == ["writer.lock"]


def test_a_second_lifecycle_leaves_the_event_log_of_the_first_alone(
    homefeed: Any, tmp_path: Path
) -> None:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "events.db").write_bytes(b"in use")
    with FileLock(tmp_path / "workspace" / "writer.lock"):
        said = homefeed("run", *TINY)
    assert said.code == 2
    assert said.err.startswith("homefeed: another pipeline run is writing to ")
    assert said.err.count("\n") == 1
    assert _written(tmp_path / "workspace") == ["events.db", "writer.lock"]


# A disk of its own, seen by this one process: no other sees the mount, none has to take it away.
SMALL_DISK = "mount -t tmpfs -o size={size} none {at} && {command}; code=$?; find {at}; exit $code"


def _on_a_disk_of(size: str, at: Path, *words: str | Path) -> Said:
    """Run ``homefeed`` with ``at`` on a disk of this size; standard output lists its files."""
    at.mkdir()
    program = [sys.executable, "-m", "homefeed_cli.main", *map(str, words)]
    command = shlex.join([*program, "--set", f"storage.root={at / 'workspace'}"])
    script = SMALL_DISK.format(size=size, at=at, command=f"{command} >&2")
    inside = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    try:
        subprocess.run([*inside, f"mount -t tmpfs none {at}"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this machine lets nobody mount a small disk: {error}")
    done = subprocess.run([*inside, script], capture_output=True, text=True)
    return Said(done.returncode, done.stdout, done.stderr)


def test_a_full_disk_is_one_line_and_nothing_half_written(shop: Any, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    said = _on_a_disk_of("600k", disk, "data", "check", shop(_rows()))
    assert said.code == 2
    # In a process of its own, a slow check also says that it is still checking.
    told = [line for line in said.err.splitlines() if not line.startswith("  checking ")]
    assert len(told) == 1
    assert told[0].startswith(f"homefeed: cannot write {disk}")
    assert "No space left on device; free some space" in told[0]
    workspace = disk / "workspace"
    assert said.out.split() == [str(p) for p in (disk, workspace, workspace / "checked")]


@pytest.mark.slow
def test_a_disk_that_is_full_during_a_run_names_the_step(shop: Any, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    words = ("pipeline", "run", "embeddings", "--data", shop(_rows()), *TINY)
    said = _on_a_disk_of("600k", disk, *words)
    assert said.code == 2
    assert "homefeed: step check-data failed: cannot write" in said.err
    assert "No space left on device" in said.err
    assert "Traceback" not in said.err
    assert "/check-data/" not in said.out, "nothing is left of the step"
