"""Every error is one line on standard error, never a traceback; its code says of what kind."""

import argparse
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock, Timeout

from homefeed.errors import CheckRefused, LedgerConflict
from homefeed_cli.main import run_verb


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("pipelin", "there is no 'pipelin'; did you mean 'pipeline'?; see `homefeed --help`"),
        ("pipeline lst", "'lst'; did you mean 'list'?; see `homefeed pipeline --help`"),
        ("pipeline", "required: VERB; see `homefeed pipeline --help`"),
        ("promote 3", "required: --reason; see `homefeed promote --help`"),
        ("promote three --reason x", "invalid int value: 'three'"),
        ("history --sinse 2025", "unrecognized arguments: --sinse 2025"),
        ("pipeline run lifecyle", "unknown pipeline 'lifecyle'; did you mean 'lifecycle'?"),
        ("pipeline compile dayly", "unknown pipeline 'dayly'; did you mean 'daily'?"),
        ("pipeline compile --out all.yaml", "--out all.yaml is one file, for 5 pipelines; give"),
        ("pipeline status", "no runs in "),
        ("pipeline logs daily-1", "no runs in "),
        ("pipeline upload daily", "no Kubeflow Pipelines host; set pipelines.host"),
        ("pipeline run daily --date 1st", "--date needs a day such as 2025-03-01, found '1st'"),
        ("run --recipe smal", "unknown recipe 'smal'; did you mean 'small'?"),
        ("run --set user_encoder.step=1", "unknown key 'user_encoder.step'; did you mean"),
        ("run --set trainin.device=cpu", "unknown key 'trainin.device'"),
        ("run --data no/such/folder", "no/such/folder does not exist"),
        ("data check no/such/folder", "no/such/folder does not exist"),
        ("config show --set training", "--set needs key=value, found 'training'"),
        ("config show --set training.num_workers=two", "must be of type int, found 'two'"),
        ("config show --config none.yaml", "configuration file none.yaml does not exist"),
        ("config show --profile mine", "unknown profile 'mine'"),
        ("promote 3 --reason won", "there is no release version 3; known: none; make one with"),
        ("rollback --reason lost", "no champion yet; make one with `homefeed run`"),
        ("config show --set foo.bar=1", "known: checks.*, gate.*, pipelines.*, profile, serving.*"),
        (
            "history --set user_encoder.stepz=1",
            "'user_encoder.stepz'; did you mean 'user_encoder.s",
        ),
        ("ab status --set ranker.fit.epoch=1", "'ranker.fit.epoch'; did you mean 'ranker.fit.ep"),
        ("history --set user_encoder.steps=many", "must be of type int, found 'many'"),
        ("pipeline run embeddings --date 2025-01-01", "embeddings does not take --date 2025-01-01"),
        ("pipeline run daily --recipe base", "daily does not take --recipe base"),
        (
            "pipeline submit daily --profile cluster --set ranker.fit.epochs=9",
            "does not take --set ranker.fit.epochs=9",
        ),
        (
            "pipeline submit ranking --profile cluster --date 2025-01-01",
            "(pipelines that take it: daily)",
        ),
        ("pipeline submit daily", "the profile is local: on Kubeflow Pipelines each step would"),
        ("pipeline schedule daily", "the next would find nothing; say --profile cluster"),
        (
            "pipeline schedule daily --date 2025-03-02",
            "every run would repeat that one day; leave it out, or run the day once: homefeed "
            "pipeline submit daily --date 2025-03-02",
        ),
        ("history --at noon", "--at needs a time such as 2025-03-01T12:00, found 'noon'"),
        ("features get alice", "there is no champion yet"),
        ("features get alice --arm blue", "no running A/B test has an arm 'blue'"),
        ("ab analyze blue", "there is no test 'blue'; known: none"),
        ("ab start none.yaml", "test definition none.yaml does not exist"),
        ("ab start t.yaml --timeout nan", "nan is no time to wait; give seconds, 0 or more"),
        ("ab start t.yaml --timeout soon", "invalid float value: 'soon'"),
        ("config show --config /", "configuration file / is a folder; name a YAML file"),
        ("ab start .", "test definition . is a folder; give its YAML file"),
        ("ab stop blue --reason bored", "there is no test 'blue'; known: none"),
    ],
)
def test_what_a_person_got_wrong_is_one_line_and_exit_code_two(
    words: str, expected: str, homefeed: Any
) -> None:
    said = homefeed(*words.split())
    assert said.code == 2
    assert said.err.startswith("homefeed: ")
    assert expected in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_a_value_that_only_the_named_or_another_recipe_can_take_is_no_error_of_a_verb_without_one(
    homefeed: Any,
) -> None:
    of_the_large = "user_encoder.network.heads=12"  # 768 can be cut in twelve, 64 cannot
    assert homefeed("history", "--set", of_the_large).code == 0
    assert homefeed("config", "show", "--recipe", "base", "--set", of_the_large).code == 0
    assert homefeed("config", "show", "--recipe", "small", "--set", of_the_large).code == 2


def test_a_wrong_key_gives_no_workspace(homefeed: Any, tmp_path: Path) -> None:
    homefeed("run", "--recipe", "smal")
    homefeed("pipeline", "run", "lifecycle", "--data", "no/such")
    assert list(tmp_path.iterdir()) == []


def test_under_json_an_error_is_a_document_too(homefeed: Any) -> None:
    said = homefeed("pipeline", "run", "lifecyle", "--json")
    assert said.json["error"] == "PipelineError"
    assert said.json["exit_code"] == said.code == 2
    assert said.json["message"] in said.err


def test_a_file_where_the_workspace_should_be_is_named(homefeed: Any, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    root = f"storage.root={tmp_path / 'taken' / 'workspace'}"
    said = homefeed("pipeline", "run", "embeddings", "--recipe", "tiny", "--set", root)
    assert said.code == 2
    assert "taken" in said.err
    assert "storage.root" in said.err
    assert said.err.count("\n") == 1


def verb_that_raises(error: BaseException) -> argparse.Namespace:
    """The words of a verb whose work ends in ``error``."""

    def run(_: argparse.Namespace) -> None:
        raise error

    return argparse.Namespace(run=run, json=False)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LedgerConflict("release 4 was promoted meanwhile;\n  look at `homefeed history`"), 2),
        (CheckRefused("12 % of rows broke positions-from-1"), 3),
        (OSError(28, "No space left on device", "/full/disk"), 2),
        (TimeoutError("no Kubeflow there"), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_the_exit_code_says_who_has_to_act(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_verb(verb_that_raises(error)) == code
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("error", "of_a_disk"),
    [
        (OSError(28, "No space left on device"), True),
        (OSError(27, "File too large"), True),
        (PermissionError(13, "Permission denied"), True),
        (FileNotFoundError(2, "No such file or directory", "gone"), True),
        (TimeoutError("no Kubeflow there"), False),
        (ConnectionRefusedError(111, "Connection refused"), False),
    ],
)
def test_only_what_a_disk_refused_is_said_to_be_the_disks(
    error: OSError, of_a_disk: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_verb(verb_that_raises(error)) == 2
    said = capsys.readouterr()
    assert ("storage.root" in said.err) == of_a_disk
    assert str(error.strerror or error) in said.err


def test_a_lock_that_another_holds_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "abtests.lock")
    with FileLock(path), pytest.raises(Timeout) as late:
        FileLock(path, timeout=0).acquire()
    assert run_verb(verb_that_raises(late.value)) == 2
    said = capsys.readouterr().err
    assert said == f"homefeed: another process holds {path}; wait until it is done, or end it\n"


def test_a_programming_error_is_not_hidden() -> None:
    with pytest.raises(KeyError):
        run_verb(verb_that_raises(KeyError("a bug")))
