"""docs/bring-your-own-data.md says everything, and its example works as it stands."""

import dataclasses
import re
from pathlib import Path

import pytest

from homefeed.config import ChecksConfig
from homefeed.data.adapters import ADAPTERS
from homefeed.data.checks import check
from homefeed.data.contract import Dataset
from homefeed.data.specification import DatasetSpec
from homefeed.data.tables import OPTIONAL, REQUIRED

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "bring-your-own-data.md").read_text()


@pytest.mark.parametrize("key", [field.name for field in dataclasses.fields(DatasetSpec)])
def test_every_key_of_the_yaml_is_explained(key):
    assert f"\n| `{key}` |" in PAGE


@pytest.mark.parametrize("table", REQUIRED)
def test_every_column_is_explained(table):
    assert f"**{table}**" in PAGE
    for column in (*REQUIRED[table], *OPTIONAL[table]):
        assert f"`{column}`" in PAGE


def test_every_threshold_stands_there_with_its_default():
    for field in dataclasses.fields(ChecksConfig):
        default = f"{field.default:,}" if isinstance(field.default, int) else f"{field.default:.2f}"
        assert f"| `{field.name}` | {default}" in PAGE


def test_every_adapter_is_in_the_list():
    section = PAGE.split("## Public data")[1].split("\n## ")[0]
    assert section.count("\n| ") - 1 == len(ADAPTERS)


def test_the_example_passes_the_check_as_it_stands(tmp_path):
    root = tmp_path / "myshop"
    root.mkdir()
    blocks = re.findall(r"`myshop/([a-z.]+)`[^`]*```[a-z]+\n(.*?)```", PAGE, re.S)
    assert [name for name, _ in blocks] == ["actions.csv", "items.csv", "dataset.yaml"]
    for name, text in blocks:
        (root / name).write_text(text, encoding="utf-8")
    report = check(Dataset.open(root), tmp_path / "out", ChecksConfig(), 1_750_000_000)
    assert report.tables["actions"].kept == 4
    users = Dataset.open(tmp_path / "out").scan("actions").collect()["user_id"]
    assert users.to_list() == ["anna", "anna", "Łukasz", "Łukasz"]
