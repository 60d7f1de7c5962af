"""The lifecycle, once, small, with real parts: one command, then what a person does after it."""

import json
import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import polars.testing
import pytest
import yaml

from homefeed.artifacts import read_json
from homefeed.data.sequences import SequenceStore
from homefeed.release.ledger import Ledger
from pipelines.compiled import compile_pipeline
from pipelines.runs import list_runs, load_run

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(3000)]

START_S, DAY_S, DAYS = 1_735_689_600, 86_400, 30  # the world's first midnight; its recorded days
SIMULATED = "2025-01-31"  # the day after them: its users were answered by the server
ITS_END_S = START_S + (DAYS + 1) * DAY_S


def _newest(workspace: Path, pipeline: str) -> Any:
    return next(r for r in list_runs(workspace / "runs") if r.pipeline == pipeline)


def _advised(lived: Any, verb: str) -> list[str]:
    """The words of a command that the run advised to try next."""
    (line,) = [i for i in lived.out.splitlines() if i.strip().startswith(f"homefeed {verb}")]
    return shlex.split(line)[1:]


def test_every_step_of_the_pipeline_ran_and_is_shown_with_its_time(
    lived: Any, tmp_path: Path
) -> None:
    run = _newest(lived.workspace, "lifecycle")
    assert (run.status, run.exit_code) == ("succeeded", 0)
    package = yaml.safe_load(compile_pipeline("lifecycle", tmp_path / "l.yaml").read_text())
    assert {step.name for step in run.steps} == set(package["root"]["dag"]["tasks"])
    assert {step.status for step in run.steps} == {"done"}
    for step in run.steps:
        assert re.search(rf"✓ {step.name} +\d+\.\d s", lived.err)


def test_it_ends_with_the_summary_a_report_and_three_commands(lived: Any) -> None:
    for subject in ("rows checked", "PinnerFormer Recall@10", "HIT@3", "releases", "verdict"):
        assert re.search(rf"^{re.escape(subject)}", lived.out, re.MULTILINE), subject
    report = Path(re.search(r"^report: (.+)$", lived.out, re.MULTILINE)[1])
    page = report.read_text()
    assert page.count("<svg") + page.count("data:image/") >= 3, "plots"
    assert not re.search(r"""(src|href)=["']https?:""", page), "it opens without a network"
    advised = lived.out.split("next:")[1]
    assert len(re.findall(r"^  homefeed ", advised, re.MULTILINE)) == 3


def test_summary_and_report_end_with_who_is_champion_once_the_verdict_is_carried_out(
    lived: Any,
) -> None:
    run = _newest(lived.workspace, "lifecycle").run_id
    made = [e for e in Ledger(lived.workspace / "ledger.db").entries() if e.run == run]
    champion = [e for e in made if e.action in ("promote", "rollback", "hold")][-1].to_version
    figures = lived.out.partition("\nreport: ")[0].splitlines()
    last = [line for line in figures if line.strip()][-1]
    assert re.match(rf"champion now +release {champion}  ", last)
    report = Path(re.search(r"^report: (.+)$", lived.out, re.MULTILINE)[1])
    assert f"<td>champion now</td><td><b>release {champion}</b></td>" in report.read_text()


@pytest.fixture(scope="module")
def looped(lived: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two simulated days under two arms, in process and over HTTP, before anything goes on."""
    program = Path(__file__).parents[3] / "bench" / "closed_loop.py"
    folders = {}
    for way, more in (("in process", []), ("over http", ["--http"])):
        folders[way] = tmp_path_factory.mktemp("lives")
        words = f"--workspace {lived.workspace} --arms control,realtime --days 2 --draws 3 --jobs 1"
        command = [
            sys.executable,
            str(program),
            *words.split(),
            "--lives",
            str(folders[way]),
            *more,
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        assert "the truth: every user under both arms" in done.stdout
    return folders


@pytest.mark.parametrize("arm", ["control", "realtime"])
def test_simulated_users_are_shown_the_same_pages_in_process_and_over_http(
    looped: dict[str, Path], arm: str
) -> None:
    pages = {
        way: pl.read_parquet(folder / arm / "pages" / "*.parquet").drop("request_id")
        for way, folder in looped.items()
    }
    assert pages["in process"]["day"].n_unique() == 2  # with a night's refresh between them
    assert pages["in process"]["shown"].sum() > 0
    polars.testing.assert_frame_equal(pages["in process"], pages["over http"])


def test_nothing_half_written_and_no_process_is_left(lived: Any) -> None:
    left = [p for p in lived.workspace.rglob("*") if p.name.endswith((".partial", ".old"))]
    assert left == []
    mine = str(lived.workspace).encode()
    running = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mine in (process / "cmdline").read_bytes():
                running.append(process.name)
        except OSError:
            continue
    assert running == []


def test_the_ledger_tells_who_is_champion_and_what_the_verdict_was(
    lived: Any, homefeed: Any
) -> None:
    code, out, _ = homefeed("history", "--json")
    entries = json.loads(out)
    assert code == 0
    assert entries[0]["action"] == "promote"
    (verdict,) = [e for e in entries if e["action"] in ("hold", "promote", "rollback")][1:]
    assert "lifecycle-1" in verdict["reason"]
    decision = verdict["verdict"]["decision"]
    assert re.search(rf"^verdict +{decision}\b", lived.out, re.MULTILINE)
    assert (verdict["action"] == "promote") == (decision == "ship")
    run = _newest(lived.workspace, "lifecycle").run_id
    assert {e["run"] for e in entries} == {run}
    (gate,) = (lived.workspace / "runs" / run).glob("artifacts/*/gate-releases/gate")
    refused = {d["reason"] for d in read_json(gate).values() if not d["passed"]}
    assert refused == {e["reason"] for e in entries if e["action"] == "refuse"}
    tests = json.loads(homefeed("ab", "status", "--json")[1])
    assert {t["arm"] for t in tests} == {"control", "pinnerformer", "realtime"}
    assert {t["status"] for t in tests} == {"stopped"}
    assert sum(t["requests"] for t in tests) > 0, "simulated users were answered"


def test_features_get_prints_vector_and_sequence_with_ages_and_versions(
    lived: Any, homefeed: Any
) -> None:
    words = _advised(lived, "features get")
    code, out, _ = homefeed(*words)
    assert code == 0
    assert out.startswith("release    1 ")
    assert "values, length 1.000: " in out
    found = json.loads(homefeed(*words, "--json")[1])
    assert found["release"] == 1
    vector = np.array(found["vector"]["values"])
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-3)
    assert found["vector"]["as_of_s"] % DAY_S == 0
    assert found["sequence"]["length"] == len(found["sequence"]["actions"]) > 0
    times = [action["time_s"] for action in found["sequence"]["actions"]]
    assert max(times) < found["sequence"]["as_of_s"]


def test_a_user_that_nobody_knows_is_one_line(homefeed: Any) -> None:
    code, out, err = homefeed("features", "get", "nobody-用户", "--at", str(ITS_END_S))
    assert (code, out) == (2, "")
    assert err.startswith("homefeed: no features for user 'nobody-用户'")
    assert err.count("\n") == 1


@pytest.fixture(scope="module")
def twice(lived: Any) -> list[dict[str, Any]]:
    """The daily pipeline for the simulated day, run twice: the state after each run."""
    states = []
    for _ in range(2):
        done = lived.run("pipeline", "run", "daily", "--date", SIMULATED, "--json", recipe={})
        assert done.returncode == 0, done.stderr
        run = load_run(lived.workspace / "runs", json.loads(done.stdout)["run_id"])
        (written,) = lived.workspace.glob(f"lineage/*/{SIMULATED}.json")
        day = read_json(written)
        assert day["store"].startswith("lineage/"), "the day's data is its own, not the run's"
        store = SequenceStore.open(lived.workspace / day["store"]).meta
        users = {
            path.parent.parent.name: pl.read_parquet(path).drop("created")
            for path in lived.workspace.glob(f"snapshots/*/{SIMULATED}/users.parquet")
        }
        rows = pl.scan_parquet(lived.workspace / day["checked"] / "actions.parquet")
        actions = rows.select(pl.len()).collect().item()
        states.append({"run": run, "day": day, "store": store, "users": users, "rows": actions})
    return states


def test_a_daily_run_appends_what_the_server_logged_that_day(lived: Any, twice: Any) -> None:
    first = twice[0]
    assert [s.status for s in first["run"].steps] == ["done"] * 5
    before = read_json(sorted(lived.workspace.glob("lineage/*/*.json"))[0])
    with closing(_event_log(lived.workspace)) as log:
        (posted,) = log.execute(
            "SELECT count(*) FROM actions WHERE time_ms >= ? AND time_ms < ?",
            ((ITS_END_S - DAY_S) * 1000, ITS_END_S * 1000),
        ).fetchone()
        # The first that the midnight's row cannot hold; within minutes of it the store may round.
        early, late = (
            log.execute(
                "SELECT coalesce(min(CASE WHEN max(arrived_ms, time_ms + 1000 * duration_s) > ? "
                "THEN seq END), max(seq) + 1) FROM actions",
                (end_s * 1000,),
            ).fetchone()[0]
            for end_s in (ITS_END_S - 600, ITS_END_S)
        )
    assert posted > 0
    known = SequenceStore.open(lived.workspace / before["store"]).meta
    assert first["store"].action_count - known.action_count == posted
    assert first["day"]["as_of_s"] == ITS_END_S
    assert early <= first["day"]["watermark"] + 1 <= late
    assert len(first["users"]) == 2, "one snapshot for each live encoder"


def test_a_daily_run_embeds_only_who_acted_since_the_day_before(lived: Any, twice: Any) -> None:
    with closing(_event_log(lived.workspace)) as log:
        (acted,) = log.execute("SELECT count(DISTINCT user_id) FROM actions").fetchone()
    made = [read_json(p) for p in lived.workspace.glob(f"snapshots/*/{SIMULATED}/snapshot.json")]
    assert len(made) == 2
    for snapshot in made:
        assert 0 < snapshot["embedded_users"] <= acted < snapshot["user_count"]


def test_running_a_day_again_changes_nothing(twice: Any) -> None:
    first, second = twice
    assert second["store"].content_hash == first["store"].content_hash
    assert second["rows"] == first["rows"]
    assert second["day"]["watermark"] == first["day"]["watermark"]
    for encoder, users in first["users"].items():
        assert second["users"][encoder].equals(users)


def test_after_the_daily_run_a_user_of_that_day_is_served_with_it(
    lived: Any, twice: Any, homefeed: Any
) -> None:
    with closing(_event_log(lived.workspace)) as log:
        user, last_ms = log.execute(
            "SELECT user_id, max(time_ms) FROM actions GROUP BY user_id LIMIT 1"
        ).fetchone()
    words = ("features", "get", user.partition(":")[2], "--at", str(ITS_END_S + 3600))
    found = json.loads(homefeed(*words, "--json")[1])
    assert found["vector"]["as_of_s"] == ITS_END_S
    assert found["sequence"]["watermark"] == twice[1]["day"]["watermark"]
    assert max(a["time_s"] for a in found["sequence"]["actions"]) == last_ms // 1000


def test_a_promotion_and_its_rollback_are_recorded_with_reason_and_time(
    lived: Any, twice: Any, homefeed: Any
) -> None:
    before = Ledger(lived.workspace / "ledger.db").state().champion
    other = 2 if before != 2 else 3
    words = ("promote", str(other), "--reason", "we want to see it", "--anyway")
    assert homefeed(*words)[0] == 0  # whatever the gate said of so short a fit
    code, out, _ = homefeed("rollback", "--reason", "we have seen it")
    assert (code, out) == (0, f"release {before} is the champion again\n")
    entries = json.loads(homefeed("history", "--json")[1])
    promoted, back = entries[-2:]
    assert (promoted["action"], promoted["to_version"]) == ("promote", other)
    assert (back["action"], back["to_version"]) == ("rollback", before)
    assert promoted["reason"].startswith("we want to see it")
    assert back["reason"] == "we have seen it"
    words = ("promote", "3", "--reason", "late", "--expected-champion", "99", "--anyway")
    code, _, err = homefeed(*words)
    assert code == 2
    assert err.count("\n") == 1
    assert "champion" in err


def _event_log(workspace: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{workspace / 'events.db'}?mode=ro", uri=True)
