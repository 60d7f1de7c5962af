"""The pipelines by name, and the arguments of a run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from homefeed.config import Config, PipelinesConfig, ServingConfig, StorageConfig
from homefeed.errors import ConfigError, DatasetError, PipelineError, UsageError
from homefeed.recipes import SECTIONS, read_config, read_section, recipe
from pipelines.catalogue import PIPELINES, arguments_for, find
from pipelines.names import NAMES
from pipelines.serving_url import SERVICE_URL

CONFIG = Config()


def _arguments(name: str = "lifecycle", data: str = "world", *overrides: str, **changes):
    recipe_name = "" if name == "daily" else "tiny"  # it computes with what a run has fitted
    values = {"config": CONFIG, "recipe_name": recipe_name, "date": ""} | changes
    return arguments_for(
        name, values["config"], data, values["recipe_name"], values["date"], overrides
    )


def _fingerprint_of(path: Path, config: Config = CONFIG) -> str:
    return _arguments(data=str(path), config=config)["data_fingerprint"]


def test_the_names_that_import_nothing_are_those_of_the_catalogue() -> None:
    assert list(NAMES) == list(PIPELINES)
    assert all(PIPELINES[name].name == name for name in NAMES)


def test_an_unknown_pipeline_gets_a_suggestion() -> None:
    with pytest.raises(PipelineError, match="'lifecyle'; did you mean 'lifecycle'"):
        find("lifecyle")


def test_an_unknown_recipe_and_an_unknown_key_get_a_suggestion() -> None:
    with pytest.raises(ConfigError, match="unknown recipe 'smal'; did you mean 'small'"):
        _arguments(recipe_name="smal")
    with pytest.raises(ConfigError, match=r"'user_encoder\.step'; did you mean 'user_encoder\."):
        _arguments("lifecycle", "world", "user_encoder.step=3")


@pytest.mark.parametrize(
    ("name", "changes", "overrides", "told"),
    [
        ("embeddings", {"date": "2025-01-01"}, (), "embeddings does not take --date 2025-01-01,"),
        ("daily", {"recipe_name": "base"}, (), "daily does not take --recipe base, it"),
        ("daily", {}, ("user_encoder.steps=9",), "daily does not take --set user_encoder.steps=9,"),
        ("embeddings", {}, ("ranker.fit.epochs=2",), "does not take --set ranker.fit.epochs=2,"),
    ],
)
def test_what_a_pipeline_does_not_take_is_refused_and_those_that_take_it_are_named(
    name: str, changes: dict[str, str], overrides: tuple[str, ...], told: str
) -> None:
    with pytest.raises(UsageError) as refused:
        _arguments(name, "", *overrides, **changes)
    assert told in str(refused.value)
    named = str(refused.value).partition("take it: ")[2].removesuffix(")").split(", ")
    assert name not in named
    for other in named:
        _arguments(other, "", *overrides, **changes)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "daily"])
def test_the_event_log_is_refused_by_all_pipelines_but_daily(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "events").mkdir()  # would be read, and its changes missed by the cache
    with pytest.raises(UsageError, match=f"{name} does not read .* say --data ./events"):
        _arguments(name, "events")
    assert _arguments(name, "./events")["data_fingerprint"]


@pytest.mark.parametrize("name", NAMES)
def test_every_pipeline_gets_exactly_its_own_parameters(name: str) -> None:
    wanted = set(PIPELINES[name].component_spec.inputs)
    assert set(_arguments(name)) == wanted


def test_sections_and_configuration_come_back_as_they_were_given() -> None:
    arguments = _arguments("lifecycle", "world", "user_encoder.steps=7")
    made = recipe("tiny", ("user_encoder.steps=7",))
    for section in SECTIONS:
        assert read_section(section, arguments[section]) == getattr(made, section)
    assert read_config(arguments["config"]) == CONFIG


def test_a_change_of_one_section_leaves_the_others_as_they_were() -> None:
    before, after = _arguments(), _arguments("lifecycle", "world", "ranker.fit.learning_rate=0.5")
    assert {key for key in before if before[key] != after[key]} == {"ranker"}


def test_the_fingerprint_follows_the_data_and_the_path_is_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "actions.csv").write_text("user_id,item_id\n1,2\n")
    monkeypatch.chdir(tmp_path)
    before, again = _arguments(data="log"), _arguments(data="./log")
    assert before == again
    assert before["data"] == str(tmp_path / "log")
    (tmp_path / "log" / "actions.csv").write_text("user_id,item_id\n1,3\n")
    assert _arguments(data="log")["data_fingerprint"] != before["data_fingerprint"]


def test_the_fingerprint_covers_the_files_of_a_data_set_wherever_they_lie(tmp_path: Path) -> None:
    for folder in ("set", "export/parts"):
        (tmp_path / folder).mkdir(parents=True)
    outside = tmp_path / "export" / "parts" / "1.csv"
    outside.write_text("user_id,item_id,timestamp\n1,2,3\n")
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "export")
    spec = "name: mine\npositive: [view]\nfiles: {actions: %s}\n"
    for place in ("../export/parts/1.csv", "../export/parts", "linked/parts"):
        (tmp_path / "set" / "dataset.yaml").write_text(spec % place)
        seen = [_fingerprint_of(tmp_path / "set")]
        (tmp_path / "set" / "notes.txt").write_text(place)
        assert _fingerprint_of(tmp_path / "set") == seen[0], "what no table names does not count"
        outside.write_text(outside.read_text() + "1,4,5\n")
        assert _fingerprint_of(tmp_path / "set") != seen[0], place


def test_a_workspace_inside_of_the_data_does_not_change_their_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("1 2 3")
    config = replace(CONFIG, storage=StorageConfig(root=str(tmp_path / ".homefeed")))
    before = _fingerprint_of(tmp_path, config)
    (tmp_path / ".homefeed").mkdir()
    (tmp_path / ".homefeed" / "run.json").write_text("{}")
    assert _fingerprint_of(tmp_path, config) == before
    (tmp_path / "log.txt").write_text("1 2 4")
    assert _fingerprint_of(tmp_path, config) != before


def test_a_folder_of_a_link_is_fingerprinted_and_a_circle_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "log.txt").write_text("1 2")
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "again").symlink_to(tmp_path / "set")
    before = _fingerprint_of(tmp_path / "set")
    (tmp_path / "elsewhere" / "log.txt").write_text("1 3")
    assert _fingerprint_of(tmp_path / "set") != before


def test_data_that_is_missing_is_named_before_anything_starts() -> None:
    with pytest.raises(DatasetError, match=r"no/such/log does not exist; give"):
        _arguments(data="no/such/log")


def test_on_a_cluster_the_data_is_not_looked_at_here() -> None:
    arguments = arguments_for("daily", CONFIG, "s3://logs/today", "", "", (), cluster=True)
    assert arguments["data"] == "s3://logs/today"


@pytest.mark.parametrize("data", ["logs/shop", "~/shop", "./events"])
def test_a_path_of_this_machine_is_refused_for_a_cluster(data: str) -> None:
    with pytest.raises(UsageError, match=f"--data {data} is a path of this machine"):
        arguments_for("daily", CONFIG, data, "", "", (), cluster=True)


def test_a_server_on_all_addresses_is_found_here_or_by_its_service_on_a_cluster() -> None:
    config = replace(CONFIG, serving=ServingConfig(host="0.0.0.0", port=3001))
    assert _arguments("abtest", config=config)["serving_url"] == "http://127.0.0.1:3001"
    submitted = arguments_for("abtest", config, "world", "tiny", "", (), cluster=True)
    inside = _arguments("abtest", config=replace(config, profile="cluster"))
    assert submitted["serving_url"] == inside["serving_url"] == SERVICE_URL


def test_an_address_with_colons_is_written_in_brackets() -> None:
    config = replace(CONFIG, serving=ServingConfig(host="::1", port=3001))
    assert _arguments("abtest", config=config)["serving_url"] == "http://[::1]:3001"


def test_the_daily_pipeline_reads_the_event_log_unless_told_otherwise() -> None:
    assert _arguments("daily", "")["data"] == "events"
    assert _arguments("lifecycle", "")["data"] == "world"


def test_arguments_are_plain_text_in_a_stable_order() -> None:
    arguments = _arguments()
    assert all(isinstance(value, str) for value in arguments.values())
    config = json.loads(arguments["config"])
    assert list(config) == sorted(config)
    other = replace(CONFIG, serving=ServingConfig(port=3001))
    # The port says where the server is; the configuration that steps are cached on stays the same.
    assert _arguments("abtest", config=other)["serving_url"] == "http://127.0.0.1:3001"
    assert _arguments(config=other)["config"] == _arguments()["config"]
    patient = replace(CONFIG, pipelines=PipelinesConfig(run_timeout_s=9, host="http://there"))
    assert _arguments(config=patient)["config"] == _arguments()["config"]
