"""The step that fits rankers: which files of a fit it leaves behind."""

from pathlib import Path
from typing import Any

import pytest

from homefeed.artifacts import write_json
from homefeed.config import LOCAL, Config, StorageConfig, TrainingConfig
from homefeed.errors import HomefeedError
from homefeed.models.item_encoders import ItemEncoder
from homefeed.models.user_encoders import EncoderOrigin
from homefeed.recipes import config_json
from homefeed.steps import ranking
from homefeed.steps.encoders import ENCODERS, control_encoder
from homefeed.training.ray import RayRun


def fitted(*given: Any, run: RayRun, **_: Any) -> list[dict[str, float]]:
    """Leaves what a fit under Ray leaves: a checkpoint in the run's folder, and a ranker."""
    out: Path = given[4]
    write_json(run.folder / "checkpoint_1" / "checkpoint.pt", {})
    write_json(out / "control" / "ranker.json", {"hash": "a" * 16})
    return [{"step": 1, "loss_control": 0.7}]


def not_registered(*_: Any) -> int:
    raise HomefeedError("the registry did not answer")


@pytest.fixture
def fit(training_set, store, tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Call the step with a profile; gives the folders of fits that are left in the workspace."""
    items = ItemEncoder("svd", tables.vectors, 0, 0, store.meta.items_hash)
    items.save(tmp_path / "items")
    origin = EncoderOrigin(
        items_hash=store.meta.items_hash, item_encoder_hash=items.hash, trained_before_s=0,
        action_types=tuple(store.meta.action_types), surfaces=tuple(store.meta.surfaces),
    )  # fmt: skip
    for kind in ENCODERS:
        control_encoder(items, origin).save(tmp_path / "encoders" / kind)
    monkeypatch.setattr(ranking, "train_rankers_with_ray", fitted)

    def call(profile: str) -> list[str]:
        where = Config(
            profile=profile,
            storage=StorageConfig(root=str(tmp_path / "workspace")),
            training=TrainingConfig(num_workers=0),
        )
        ranking.train_rankers_step(
            *(store.path, tmp_path / "items", tmp_path / "encoders", training_set.path),
            *("tiny", config_json(where), "code", tmp_path / "rankers"),
        )
        return left(tmp_path)

    return call


def left(tmp_path: Path) -> list[str]:
    found = (tmp_path / "workspace" / "ray").glob("rankers-*/checkpoint_1/*")
    return [path.name for path in found]


def test_a_fits_checkpoints_go_once_its_rankers_are_registered_and_stay_until_then(
    fit, tmp_path, monkeypatch
):
    with monkeypatch.context() as patched:
        patched.setattr(ranking, "register_folder", not_registered)
        with pytest.raises(HomefeedError, match="did not answer"):
            fit(LOCAL)
    assert left(tmp_path) == ["checkpoint.pt"]
    assert fit(LOCAL) == []
    assert (tmp_path / "rankers" / "versions.json").exists()


def test_a_fits_checkpoints_stay_on_a_cluster_where_its_artifact_is_uploaded_afterwards(fit):
    assert fit("cluster") == ["checkpoint.pt"]
