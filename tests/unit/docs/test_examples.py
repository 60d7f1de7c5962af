"""The examples of the documentation are taken by the code that they are for."""

import re
from pathlib import Path

import yaml

from homefeed.abtest.definition import read_definition
from homefeed.config import load_config
from homefeed.data.specification import parse_spec
from serving.requests import parse_action, parse_actions, parse_feed, parse_rank
from serving.settings import Settings

DOCS = Path(__file__).resolve().parents[3] / "docs"
CALL = re.compile(r"/v1/(?P<call>feed|rank|actions) .*?-d '(?P<body>.*?)'", re.DOTALL)
PARSERS = {"feed": parse_feed, "rank": parse_rank, "actions": parse_actions}


def blocks(page: str, kind: str) -> list[str]:
    """The fenced blocks of one kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```", (DOCS / page).read_text("utf-8"), re.M | re.S)


def calls(page: str) -> list[tuple[str, bytes]]:
    """(call, body) of every curl example with a body."""
    found = CALL.finditer("\n".join(blocks(page, "bash")))
    return [(match["call"], match["body"].encode()) for match in found]


def test_every_request_of_the_serving_page_is_well_formed() -> None:
    examples = calls("serving.md")
    assert [call for call, _ in examples] == ["feed", "rank", "actions"]
    for call, body in examples:
        PARSERS[call](body, Settings())  # the wall clock: no `at`


def test_every_action_of_the_serving_page_is_well_formed() -> None:
    bodies = [body for call, body in calls("serving.md") if call == "actions"]
    arrived_ms, actions = parse_actions(bodies[0], Settings())
    for action in actions:
        assert parse_action(action, arrived_ms, frozenset({"save"})).action_type == "save"


def test_the_request_of_the_quick_start_needs_the_simulated_clock_and_no_more() -> None:
    [(_, body)] = calls("quick-start.md")
    assert parse_feed(body, Settings(simulated_clock=True)).k == 5


def test_the_test_definition_of_the_abtest_page_can_be_read(tmp_path: Path) -> None:
    [text] = blocks("pipelines/abtest.md", "yaml")
    (tmp_path / "realtime.yaml").write_text(text)
    assert read_definition(tmp_path / "realtime.yaml").treatments == ("realtime",)


def test_the_configuration_file_of_the_configuration_page_can_be_read(tmp_path: Path) -> None:
    [text] = blocks("configuration.md", "yaml")
    (tmp_path / "homefeed.yaml").write_text(text)
    config = load_config(tmp_path / "homefeed.yaml", profile="gpu").config
    assert (config.training.device, config.checks.max_rejected_share) == ("cuda", 0.01)


def test_every_dataset_yaml_of_the_data_page_is_a_specification() -> None:
    whole = [text for text in blocks("bring-your-own-data.md", "yaml") if "name:" in text]
    assert whole
    for text in whole:
        assert parse_spec(yaml.safe_load(text), "docs").name
