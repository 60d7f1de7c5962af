"""The steps that fit encoders: what they refuse, and what they leave behind."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from homefeed.config import LOCAL, Config, StorageConfig, TrainingConfig
from homefeed.data.contract import Dataset, DatasetSpec, write_dataset
from homefeed.data.sequences import SequenceStore, build_sequences
from homefeed.errors import ConfigError
from homefeed.recipes import SequencesRecipe, config_json, recipe, section_json
from homefeed.steps.cuts import held_out
from homefeed.steps.encoders import evaluate_step, user_encoder_step
from homefeed.steps.item_encoder import item_encoder_step

DAY_MS = 86_400_000


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    rows = [
        {"user_id": user, "item_id": day % 7, "action_type": "like", "timestamp": day * DAY_MS}
        for user in range(40)
        for day in range(1, 21)
    ]
    spec = DatasetSpec(name="log", files={"actions": "a"}, positive=("like",))
    made = write_dataset(tmp_path / "log", spec, {"actions": pl.DataFrame(rows)})
    build_sequences(made, tmp_path / "store")
    return made


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("none", "item_encoder: kind is 'none'; give svd or content"),  # of any data set
        ("content", "item encoder `content` .* item_encoder.kind=svd"),  # of one without content
    ],
)
def test_items_without_vectors_are_refused_before_anything_is_trained_on_them(
    tmp_path, dataset, kind, said
):
    settings = json.dumps({"kind": kind})
    words = (dataset.root, tmp_path / "store", "small", settings, tmp_path / "items")
    with pytest.raises(ConfigError, match=said):
        item_encoder_step(*words)
    assert not (tmp_path / "items").exists()


def _fit(tmp_path: Path, profile: str = LOCAL) -> None:
    """Fit a few steps in this process, in the workspace below ``tmp_path``."""
    config = Config(
        profile=profile,
        storage=StorageConfig(root=str(tmp_path / "workspace")),
        training=TrainingConfig(num_workers=0),
    )
    made = recipe("tiny", ("user_encoder.steps=2",))
    user_encoder_step(
        tmp_path / "store",
        tmp_path / "items",
        "tiny",
        section_json(made, "user_encoder"),
        config_json(config),
        "code",
        tmp_path / "encoders",
        tmp_path / "piece.json",
    )


def test_the_files_of_a_fit_go_once_its_encoder_is_registered_and_stay_until_then(
    tmp_path, dataset
):
    item_encoder_step(dataset.root, tmp_path / "store", "tiny", "tiny", tmp_path / "items")
    kept = tmp_path / "workspace" / "ray"
    broken = tmp_path / "items" / "broken"
    broken.symlink_to("nowhere")  # so that the items cannot be registered, after the fit
    with pytest.raises(OSError, match="broken"):
        _fit(tmp_path)
    (folder,) = kept.iterdir()
    assert folder.name.startswith("user-encoder-")
    broken.unlink()
    _fit(tmp_path)
    assert (tmp_path / "encoders" / "versions.json").exists()
    assert list(kept.iterdir()) == []


def test_the_files_of_a_fit_stay_on_a_cluster_where_its_artifact_is_uploaded_afterwards(
    tmp_path, dataset
):
    item_encoder_step(dataset.root, tmp_path / "store", "tiny", "tiny", tmp_path / "items")
    _fit(tmp_path, "cluster")
    assert (tmp_path / "encoders" / "versions.json").exists()
    (folder,) = (tmp_path / "workspace" / "ray").iterdir()
    assert folder.name.startswith("user-encoder-")
    assert any(folder.iterdir())


def test_no_user_that_is_held_out_is_among_those_that_an_encoder_is_fitted_on(tmp_path, dataset):
    item_encoder_step(dataset.root, tmp_path / "store", "tiny", "tiny", tmp_path / "items")
    _fit(tmp_path, "cluster")  # where what a fit was given stays
    (folder,) = (tmp_path / "workspace" / "ray").iterdir()
    out = held_out(SequenceStore.open(tmp_path / "store"), SequencesRecipe())
    fitted_on = np.load(folder / "inputs.npz")["users"]
    assert out.sum() >= 0.3 * len(out[1:])
    assert fitted_on.tolist() == np.flatnonzero(~out)[1:].tolist()


def test_an_encoder_is_judged_on_the_users_that_were_held_out_alone(tmp_path, dataset):
    item_encoder_step(dataset.root, tmp_path / "store", "tiny", "tiny", tmp_path / "items")
    _fit(tmp_path)
    evaluate_step(
        dataset.root,
        *(tmp_path / name for name in ("store", "items", "encoders")),
        *("tiny", "tiny"),
        *(tmp_path / name for name in ("evaluations", "evaluation.json")),
    )
    judged = np.load(tmp_path / "evaluations" / "PinnerFormer" / "users.npz")["users"]
    out = held_out(SequenceStore.open(tmp_path / "store"), SequencesRecipe())
    assert judged.tolist() == np.flatnonzero(out).tolist()
