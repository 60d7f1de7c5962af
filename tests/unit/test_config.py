"""The typed configuration: layers, origins, and errors that suggest."""

import json
from pathlib import Path

import pytest
from sqlalchemy import make_url

from homefeed.config import PROFILES, Config, load_config
from homefeed.errors import ConfigError


def _file(folder: Path, text: str) -> Path:
    path = folder / "homefeed.yaml"
    path.write_text(text)
    return path


def test_defaults_are_the_local_profile(tmp_path: Path) -> None:
    loaded = load_config(_file(tmp_path, ""))
    assert loaded.config == Config()
    assert set(loaded.origin.values()) == {"default"}


def test_later_layers_win_and_each_value_says_where_it_came_from(tmp_path: Path) -> None:
    file = _file(
        tmp_path,
        "profile: cluster\n"
        "training: {num_workers: 8, device: cpu}\n"
        "profiles: {cluster: {training: {device: cuda}}}\n",
    )
    loaded = load_config(file, overrides=("training.precision=float32",))
    assert loaded.config.training.num_workers == 8
    assert loaded.config.training.device == "cuda"
    assert loaded.config.training.precision == "float32"
    assert loaded.config.storage.online_store == "redis"
    assert loaded.origin["training.num_workers"] == str(file)
    assert loaded.origin["training.device"] == f"{file}, profile cluster"
    assert loaded.origin["training.precision"] == "--set"
    assert loaded.origin["storage.online_store"] == "profile cluster"
    assert loaded.origin["serving.port"] == "default"


def test_the_command_line_chooses_the_profile_over_the_file(tmp_path: Path) -> None:
    file = _file(tmp_path, "profile: cluster\n")
    assert load_config(file, profile="local").config.profile == "local"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("trainning: {num_workers: 2}", "'trainning.num_workers'.*'training.num_workers'"),
        ("training: {num_workers: two}", "training.num_workers must be of type int, found 'two'"),
        ("training: {num_workers: true}", "must be of type int, found True"),
        ("profile: clutser", "unknown profile 'clutser'; did you mean 'cluster'"),
        ("- a list", "must hold keys and values"),
        ("a: [", "is not YAML"),
        ("a: 2025-99-99", "is not YAML"),
        ("gate: {min_lift: 0}\nprofile: local\ngate: {}", "key 'gate' stands twice.*line 3"),
        ("gate: {min_lift: 0.1, min_lift: 0}", "key 'min_lift' stands twice"),
        ("profile: 3", "profile in .* must be a name, found 3"),
        ("profile: [a]", "profile in .* must be a name"),
        ("profiles: [a]", r"profiles in .* must hold a section for each, found \['a'\]"),
        ("profiles: {gpu: [1]}", r"profile 'gpu' in .* found \[1\]"),
        ("training: 3", "unknown key 'training'"),
        ("training: {device: gpu}", "training: device is 'gpu'; give cpu or cuda"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        load_config(_file(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_config(tmp_path / "absent.yaml")


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "homefeed.yaml").write_bytes("storage: {root: für}".encode("latin-1"))
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load_config(tmp_path / "homefeed.yaml")


def test_a_heading_with_nothing_below_it_changes_nothing(tmp_path: Path) -> None:
    file = _file(tmp_path, "training:\nprofiles:\n  gpu:\n")
    assert load_config(file).config == Config()
    assert load_config(file, profile="gpu").config.training == Config().training


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("training.device=[", "the value of 'training.device=.' is not YAML"),
        ("storage.root=a: b: c", "the value of 'storage.root=a: b: c' is not YAML"),
        ("training=", "unknown key 'training'"),
        ("profile=cluster", "use --profile cluster"),
        ("serving.port=70000", "serving: port is 70000; give 0 to 65535"),
        ("serving.port=-1", "port is -1"),
        ("serving.scorer=both", "scorer is 'both'; give service or in_process"),
        ("serving.scorer_threads=0", "scorer_threads is 0; give 1 or more"),
        ("serving.scorer_device=gpu", "scorer_device is 'gpu'; give cpu or cuda"),
        ("serving.scorer_precision=int8", "scorer_precision is 'int8'"),
        ("serving.poll_s=.nan", "poll_s is nan; give 0.01 to 3600"),
        ("gate.confidence=95", "confidence is 95.*give a share, such as 0.95"),
        ("gate.bootstrap_rounds=0", "bootstrap_rounds is 0; give 100 or more"),
        ("gate.bootstrap_rounds=50", "gate: bootstrap_rounds is 50; give 100 or more"),
        ("gate.confidence=1", "gate: confidence is 1.0; give a share"),
        ("gate.min_lift=.inf", "gate: min_lift is inf; give a number"),
        ("checks.max_rejected_share=7", "max_rejected_share is 7.*give 0 to 1"),
        ("storage.online_store=mysql", "online_store is 'mysql'; give sqlite or redis"),
        ("training.device=gpu", "device is 'gpu'"),
        ("training.backend=mpi", "backend is 'mpi'"),
        ("training.precision=int8", "precision is 'int8'"),
        ("training.num_workers=-1", "num_workers is -1; give 0 or more"),
        ("training.embed_workers=-1", "embed_workers is -1"),
        ("training.num_cpus=0", "num_cpus is 0; give 1 or more"),
        ("pipelines.run_timeout_s=0", "run_timeout_s is 0"),
    ],
)
def test_a_wrong_override_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        load_config(overrides=(text,))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "sign"), [("a%20b", "%20"), ("50%be", "%be"), ("what?", "?")])
def test_a_workspace_below_which_mlflow_keeps_no_file_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, sign: str
) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    with pytest.raises(ConfigError) as caught:
        load_config()
    assert str(caught.value).startswith(f"storage.root is {tmp_path / name / '.homefeed'}, and ")
    assert f"with {sign!r} in its path; use another with --set storage.root=" in str(caught.value)
    load_config(overrides=(f"storage.root={tmp_path}",))
    load_config(overrides=("storage.tracking_uri=http://localhost:5000",))


@pytest.mark.parametrize("name", ["100%", "50% off", "a b", "a#b", "a:b", "é", "a+b"])
def test_mlflow_keeps_its_file_in_the_workspace_whatever_else_that_is_called(
    tmp_path: Path, name: str
) -> None:
    root = tmp_path / name
    config = load_config(overrides=(f"storage.root={json.dumps(str(root))}",)).config
    assert make_url(config.tracking_uri).database == str(root / "mlflow" / "mlflow.db")


def test_an_override_without_a_value_is_an_error() -> None:
    with pytest.raises(ConfigError, match="key=value"):
        load_config(overrides=("training",))


@pytest.mark.parametrize("profile", PROFILES)
def test_a_ray_that_is_started_here_has_a_cpu_for_every_worker(profile: str) -> None:
    training = load_config(profile=profile).config.training
    assert training.ray_cpus >= max(training.num_workers, training.num_cpus)
    more = load_config(profile=profile, overrides=("training.num_workers=9",)).config.training
    assert more.ray_cpus == 9
