"""The steps that fit encoders, where what they are told to fit cannot be."""

import json

import polars as pl
import pytest

from homefeed.data.contract import DatasetSpec, write_dataset
from homefeed.data.sequences import build_sequences
from homefeed.errors import ConfigError
from homefeed.steps.encoders import item_encoder_step

DAY_MS = 86_400_000


@pytest.mark.parametrize("kind", ["none", "content"])
def test_items_without_vectors_are_refused_before_anything_is_trained_on_them(tmp_path, kind):
    rows = [
        {"user_id": user, "item_id": day % 7, "action_type": "like", "timestamp": day * DAY_MS}
        for user in range(40)
        for day in range(1, 21)
    ]
    spec = DatasetSpec(name="log", files={"actions": "a"}, positive=("like",))
    dataset = write_dataset(tmp_path / "log", spec, {"actions": pl.DataFrame(rows)})
    build_sequences(dataset, tmp_path / "store")
    settings = json.dumps({"kind": kind})
    words = (tmp_path / "log", tmp_path / "store", "small", settings, tmp_path / "items")
    with pytest.raises(ConfigError, match=rf"item encoder `{kind}` .* item_encoder.kind=svd"):
        item_encoder_step(*words)
    assert not (tmp_path / "items").exists()
