"""What the verbs that need no run say, as text and as JSON."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock

from homefeed.config import Config
from homefeed.plain_values import flatten
from homefeed.recipes import recipe
from homefeed_cli.main import _print as print_answer
from homefeed_cli.verb import Answer, table
from pipelines.names import NAMES
from pipelines.runs import Run, Step, new_run


def test_config_show_prints_each_value_and_where_it_came_from(
    homefeed: Any, tmp_path: Path
) -> None:
    (tmp_path / "homefeed.yaml").write_text("serving: {port: 3100}\n")
    words = ("config", "show", "--profile", "cluster", "--set", "training.num_workers=8")
    found = homefeed(*words, "--json").json
    assert set(found) >= set(flatten(dataclasses.asdict(Config())))
    origin = {key: row["from"] for key, row in found.items()}
    assert origin["serving.port"] == "homefeed.yaml"
    assert origin["training.num_workers"] == "--set"
    assert origin["training.device"] == "profile cluster"
    assert origin["gate.confidence"] == "default"
    assert found["serving.port"]["value"] == 3100
    lines = homefeed(*words).out.splitlines()
    assert lines[0].split() == ["key", "value", "from"]
    assert len(lines) == 2 + len(found)


def test_config_show_prints_the_recipe_with_what_was_set_over_it(homefeed: Any) -> None:
    words = ("config", "show", "--recipe", "tiny", "--set", "user_encoder.network.dim=48")
    found = homefeed(*words, "--json").json
    made = flatten(dataclasses.asdict(recipe("tiny")))
    assert set(found) == {*flatten(dataclasses.asdict(Config())), "recipe", *made} - {"name"}
    assert (found["recipe"]["value"], found["recipe"]["from"]) == ("tiny", "--recipe")
    dim, steps = found["user_encoder.network.dim"], found["user_encoder.steps"]
    assert (dim["value"], dim["from"]) == (48, "--set")
    assert (steps["value"], steps["from"]) == (made["user_encoder.steps"], "recipe tiny")
    unnamed = homefeed("config", "show", "--json").json
    assert (unnamed["recipe"]["value"], unnamed["recipe"]["from"]) == ("small", "default")


def test_doctor_looks_at_everything_and_each_finding_that_is_not_ok_has_advice(
    homefeed: Any,
) -> None:
    said = homefeed("doctor", "--json")
    found = {f["subject"]: f for f in said.json}
    assert {"python", "packages", "memory", "disk", "workspace", "port", "gpu"} <= set(found)
    for finding in found.values():
        assert set(finding) == {"subject", "state", "found", "advice"}
        assert finding["state"] in ("ok", "warning", "problem")
        assert finding["advice"] or finding["state"] == "ok"
    assert said.code == (2 if "problem" in {f["state"] for f in found.values()} else 0)
    text = homefeed("doctor").out
    assert all(subject in text for subject in found)


def test_pipeline_list_shows_pipelines_and_runs(homefeed: Any, tmp_path: Path) -> None:
    empty = homefeed("pipeline", "list", "--json").json
    assert list(empty["pipelines"]) == list(NAMES)
    assert empty["runs"] == []
    run = new_run(tmp_path / ".homefeed" / "runs", "daily", {}, "0.1.0+abc")
    run.status, run.error = "failed", "the day holds no action"
    run.steps = [Step("check-day", "failed", 2.0)]
    run.save(tmp_path / ".homefeed" / "runs")
    (listed,) = homefeed("pipeline", "list", "--json").json["runs"]
    assert (listed["run"], listed["failed step"]) == (run.run_id, "check-day")
    status = homefeed("pipeline", "status")
    assert status.out.splitlines()[-1] == "check-day: the day holds no action"
    assert homefeed("pipeline", "status", run.run_id, "--json").json["error"] == run.error
    (tmp_path / ".homefeed" / "runs" / run.run_id / "log.txt").write_text("one line\n")
    assert homefeed("pipeline", "logs").out == "one line\n\n"


@pytest.mark.parametrize(
    "record",
    [
        '{"run_id": "odd", "pipeline": "daily", "arguments": {}, "colour": 1}',
        '{"run_id": "odd", "pipeline": "daily", "arguments": {}, "steps": [{"title": "a"}]}',
        '{"run_id": "odd", "pipeline": "daily", "arguments": {}, "started": 5}',
        '{"run_id": "odd"}',
        "[]",
        '{"run_id": "o',
    ],
)
def test_a_run_whose_record_cannot_be_read_is_named_and_the_others_are_shown(
    homefeed: Any, tmp_path: Path, record: str
) -> None:
    runs = tmp_path / ".homefeed" / "runs"
    whole = new_run(runs, "daily", {}, "0.1.0+abc")
    (runs / "odd" / "artifacts").mkdir(parents=True)
    (runs / "odd" / "run.json").write_text(record)
    said = homefeed("pipeline", "list")
    assert said.code == 0
    assert said.out.splitlines()[-1].startswith("odd is broken: ")
    assert "odd/run.json is no record that this version reads (" in said.out.splitlines()[-1]
    listed = {row["run"]: row for row in homefeed("pipeline", "list", "--json").json["runs"]}
    assert (listed["odd"]["status"], listed[whole.run_id]["problem"]) == ("broken", "")
    for verb in ("status", "logs"):
        refused = homefeed("pipeline", verb, "odd")
        assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)
        assert "odd/run.json is no record" in refused.err
        assert "or remove " in refused.err
        assert homefeed("pipeline", verb, whole.run_id).code == 0
    assert homefeed("pipeline", "clean", "--keep", "0", "--json").json == {"cleared": []}
    assert (runs / "odd" / "artifacts").is_dir(), "nobody knows what it is: it is left"


def test_compile_writes_one_file_a_pipeline_named_by_its_version(
    homefeed: Any, tmp_path: Path
) -> None:
    found = homefeed("pipeline", "compile", "daily", "--out", "made", "--json").json
    assert list(found) == ["daily"]
    path = tmp_path / found["daily"]
    assert path.name.startswith("daily-0.")
    assert yaml.safe_load(path.read_text())["pipelineInfo"]["name"] == "daily"
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_pipeline_clean_names_the_runs_that_it_emptied_and_refuses_beside_a_run(
    homefeed: Any, tmp_path: Path
) -> None:
    workspace = tmp_path / ".homefeed"
    for name in ("old", "new"):
        run = Run(name, "daily", {}, status="succeeded", started=f"2025 {name == 'new'}")
        (workspace / "runs" / name / "artifacts").mkdir(parents=True)
        run.save(workspace / "runs")
    with FileLock(workspace / "writer.lock"):
        said = homefeed("pipeline", "clean", "--keep", "1")
    assert (said.code, said.out) == (2, "")
    assert "another pipeline run is writing" in said.err
    assert homefeed("pipeline", "clean", "--keep", "1").out == "old: artifacts deleted\n"
    assert homefeed("pipeline", "clean", "--keep", "1", "--json").json == {"cleared": []}
    assert (workspace / "runs" / "new" / "artifacts").exists()
    assert "'-1' is no number of runs" in homefeed("pipeline", "clean", "--keep=-1").err


def test_an_empty_history_and_no_tests_say_how_to_begin(homefeed: Any) -> None:
    assert "make one with `homefeed run`" in homefeed("history").out
    assert homefeed("history", "--json").json == []
    assert "homefeed ab start --help" in homefeed("ab", "status").out
    assert homefeed("ab", "status", "--json").json == []


def test_data_show_lists_tables_columns_and_assumptions(homefeed: Any, tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("1 10\n1 11\n2 10\n")
    found = homefeed("data", "show", "log.txt", "--json").json
    assert {t["table"]: t["rows"] for t in found["tables"]} == {"actions": 3}
    assert found["notes"]
    text = homefeed("data", "show", "log.txt").out
    assert "assumed: " in text


def test_what_an_import_says_to_do_next_can_be_typed_and_stays_in_its_workspace(
    homefeed: Any, tmp_path: Path
) -> None:
    (tmp_path / "log.txt").write_text("1 10\n1 11\n2 10\n")
    said = homefeed("data", "import", "log.txt", "--out", "my log", "--set", "storage.root=there")
    assert said.out.endswith("next: homefeed data check 'my log' --set storage.root=there\n")


def test_data_import_writes_the_contracts_form_where_it_is_told(
    homefeed: Any, tmp_path: Path
) -> None:
    (tmp_path / "log.txt").write_text("1 10\n1 11\n2 10\n")
    said = homefeed("data", "import", "log.txt", "--out", "mine")
    assert said.code == 0
    assert said.out.endswith("next: homefeed data check mine\n")  # it has no times to split
    assert (tmp_path / "mine" / "dataset.yaml").exists()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".mine")] == []


def test_a_table_is_aligned_and_numbers_are_short() -> None:
    text = table([{"name": "a", "value": 0.123456}, {"name": "long name", "value": 2}])
    assert text.splitlines() == [
        "name       value",
        "---------  ------",
        "a          0.1235",
        "long name  2",
    ]
    assert table([]) == "(nothing)"


def test_a_long_text_is_whole_in_the_last_column_and_shortened_before_it() -> None:
    long = "word " * 40
    head, rule, row = table([{"why": long, "who": "me", "said": long}]).splitlines()
    assert len(rule) < 140
    assert row.split("  ")[0].endswith("…")
    assert row.endswith(long.rstrip())
    assert head.index("said") == row.index("me") + len("me") + 3


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m homefeed_cli.main config show | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.stdout.startswith("key")
    assert done.stderr == ""


def test_json_is_one_document_whatever_the_values_are(homefeed: Any) -> None:
    for words in (("history",), ("config", "show"), ("doctor",), ("ab", "status")):
        json.loads(homefeed(*words, "--json").out)


@pytest.mark.parametrize(
    "key",
    [
        "abtest.visitors",
        "evaluation.refresh_users",
        "ranker.training_set.max_training_rows",
        "ranker.training_set.max_evaluation_rows",
    ],
)
def test_a_bound_of_none_at_all_is_refused_before_anything_runs(homefeed: Any, key: str) -> None:
    found = homefeed("config", "show", "--recipe", "small", "--set", f"{key}=0")
    assert found.code == 2
    assert f"{key} is 0; give 1 or more, or null" in found.err
    assert recipe("small", (f"{key}=null",))


def test_what_is_no_number_is_null_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    answer = Answer({"p": float("nan"), "rows": [{"age_s": float("inf")}, (1.5, "a")]}, "")
    print_answer(answer, as_json=True)
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        "p": None,
        "rows": [{"age_s": None}, [1.5, "a"]],
    }


def test_what_a_terminal_cannot_show_is_written_in_escapes(tmp_path: Path) -> None:
    """In a process of its own: a terminal's encoding is chosen when Python starts."""
    (tmp_path / "homefeed.yaml").write_text("pipelines: {experiment: Möbel}\n", "utf-8")
    command = [sys.executable, "-m", "homefeed_cli.main", "config", "show"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    said = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (said.returncode, said.stderr) == (0, "")
    assert "M\\xf6bel" in said.stdout
