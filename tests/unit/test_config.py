"""The typed configuration: layers, origins, and errors that suggest."""

from pathlib import Path

import pytest

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
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        load_config(_file(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_config(tmp_path / "absent.yaml")


def test_an_override_without_a_value_is_an_error() -> None:
    with pytest.raises(ConfigError, match="key=value"):
        load_config(overrides=("training",))


@pytest.mark.parametrize("profile", PROFILES)
def test_a_ray_that_is_started_here_has_a_cpu_for_every_worker(profile: str) -> None:
    training = load_config(profile=profile).config.training
    assert training.ray_cpus >= max(training.num_workers, training.num_cpus)
    more = load_config(profile=profile, overrides=("training.num_workers=9",)).config.training
    assert more.ray_cpus == 9
