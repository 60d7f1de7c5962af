"""Rankers under Ray Train: two workers give what one process gives, and through a kill, too."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from homefeed.config import LOCAL, Config, StorageConfig, TrainingConfig
from homefeed.data.build_training_set import build_training_set
from homefeed.data.contract import Dataset, DatasetSpec, write_dataset
from homefeed.data.item_stats import build_item_stats
from homefeed.data.sequences import SequenceStore, build_sequences
from homefeed.data.splits import Timeline
from homefeed.data.training_set import TrainingSet
from homefeed.models.config import USER_ENCODERS, TransActConfig, variant
from homefeed.models.item_encoders import ItemEncoder
from homefeed.models.ranker_artifact import load_ranker
from homefeed.models.ranker_batch import ItemTables
from homefeed.models.user_encoders import EncoderOrigin
from homefeed.recipes import RECIPES, config_json, section_json
from homefeed.steps.encoders import control_encoder
from homefeed.steps.ranking import train_rankers_step
from homefeed.training.ranker_config import RankerFitConfig
from homefeed.training.ranker_recipe import RankerRecipe
from homefeed.training.ray import METRICS_FILE, RayRun
from homefeed.training.ray_rankers import train_rankers_with_ray
from homefeed.training.resources import TrainingResources

pytestmark = [pytest.mark.integration, pytest.mark.slow]

FitStep = Callable[[str, int], list[str]]
DAY_S, USERS, ITEMS = 86_400, 10, 20
SMALL = TransActConfig(item_dim=4, action_dim=4, ffn_dim=8, first_k=3, output_dim=6)
COMMON = {"user_vector": "none", "transact": SMALL, "hidden": (8,)}
CONFIG = RankerFitConfig(
    rankers=(variant("full", **COMMON), variant("no_sequence", **COMMON)),
    **{"batch_rows": 60, "shard_rows": 15, "epochs": 2.0, "level_epochs": 0.25},
    **{"report_every": 3, "checkpoint_every": 3},
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[SequenceStore, TrainingSet]:
    """Eight days of requests of five items; even items are liked now and then."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("log")
    shown = pl.DataFrame(
        [
            {
                **{"request_id": f"{day}-{user}", "user_id": user, "item_id": int(item)},
                **{"timestamp": 1000 * (day * DAY_S + 7_200 + user), "position": place + 1},
                "like": int(item % 2 == 0 and rng.random() < 0.6),
            }
            for day in range(8)
            for user in range(USERS)
            for place, item in enumerate(rng.choice(ITEMS, 5, replace=False))
        ]
    )
    liked = shown.filter(pl.col("like") == 1).select(
        "user_id", "item_id", pl.col("timestamp") + 5_000, action_type=pl.lit("like")
    )
    spec = DatasetSpec(
        **{"name": "toy", "files": {}, "positive": ("like",), "labels": ("like",)},
        **{"primary_label": "like"},
    )
    dataset: Dataset = write_dataset(
        folder / "dataset", spec, {"actions": liked, "impressions": shown}
    )
    store = build_sequences(dataset, folder / "store")
    stats = build_item_stats(dataset, store, np.full(store.meta.item_count + 1, -1, np.int64))
    line = Timeline(t0_s=2 * DAY_S, t1_s=6 * DAY_S, t2_s=8 * DAY_S)
    return store, build_training_set(dataset, store, stats, line, folder / "set")


def _train(
    made: tuple[SequenceStore, TrainingSet],
    folder: Path,
    workers: int,
    config: RankerFitConfig = CONFIG,
    name: str = "",
) -> list[dict]:
    store, training_set = made
    vectors = np.random.default_rng(1).normal(size=(store.meta.item_count + 1, 8))
    name = name or f"{workers}"
    return train_rankers_with_ray(
        config,
        training_set.path,
        store.path,
        ItemTables(vectors=vectors.astype(np.float32), match={}),
        folder / name,
        bound_to={"item_encoder_hash": "none"},
        run=_run(folder, name, workers),
    )


def _run(folder: Path, name: str, workers: int) -> RayRun:
    resources = TrainingResources(num_workers=workers)
    return RayRun(name=f"run-{name}", storage=folder, resources=resources)


def _check_same(found: list[dict], expected: list[dict], out: Path, reference: Path) -> None:
    """The same losses at the same steps, and the same rankers, but for rounding."""
    assert [m["step"] for m in found] == [m["step"] for m in expected]
    for name in ("full", "no_sequence"):
        losses = ([m[f"loss_{name}"] for m in each] for each in (found, expected))
        np.testing.assert_allclose(*losses, rtol=1e-4)
        theirs, ours = (load_ranker(folder / name).state_dict() for folder in (out, reference))
        assert ours.keys() == theirs.keys()
        for key, value in ours.items():
            np.testing.assert_allclose(theirs[key], value, atol=2e-3, err_msg=key)


def _encoders(made: tuple[SequenceStore, TrainingSet], folder: Path) -> None:
    """What the steps before leave: an item encoder, and the user encoders made over it."""
    meta = made[0].meta
    vectors = np.random.default_rng(1).normal(size=(meta.item_count + 1, 8)).astype(np.float32)
    items = ItemEncoder("svd", vectors, 0, 0, meta.items_hash)
    items.save(folder / "items")
    origin = EncoderOrigin(
        items_hash=meta.items_hash, item_encoder_hash=items.hash, trained_before_s=0,
        action_types=tuple(meta.action_types), surfaces=tuple(meta.surfaces),
    )  # fmt: skip
    for kind in USER_ENCODERS:
        control_encoder(items, origin).save(folder / "encoders" / kind)


@pytest.fixture
def fit_step(ray: None, made: tuple[SequenceStore, TrainingSet], tmp_path: Path) -> FitStep:
    """Call the step with a profile and a number of Ray workers; gives ``_left`` after it."""
    _encoders(made, tmp_path)
    recipe = replace(RECIPES["tiny"](), ranker=RankerRecipe(fit=CONFIG))

    def call(profile: str, workers: int) -> list[str]:
        where = Config(
            profile=profile,
            storage=StorageConfig(root=str(tmp_path / "workspace")),
            training=TrainingConfig(num_workers=workers),
        )
        train_rankers_step(
            *(made[0].path, tmp_path / "items", tmp_path / "encoders", made[1].path),
            *(section_json(recipe, "ranker"), config_json(where), "code", tmp_path / "rankers"),
        )
        return _left(tmp_path)

    return call


def _left(folder: Path) -> list[str]:
    """The files of checkpoints that fits left in the workspace."""
    found = (folder / "workspace" / "ray").glob("rankers-*/checkpoint_*/*.pt")
    return sorted(str(path) for path in found)


@pytest.mark.timeout(600)
def test_a_fits_checkpoints_stay_until_its_rankers_are_registered_and_on_a_cluster_beyond_that(
    fit_step: FitStep, tmp_path: Path
) -> None:
    in_the_way = tmp_path / "workspace" / "mlflow" / "artifacts"
    in_the_way.parent.mkdir(parents=True)
    in_the_way.write_text("no folder, so nothing can be registered")
    with pytest.raises(OSError, match=str(in_the_way)):
        fit_step(LOCAL, 1)
    left = _left(tmp_path)
    assert {Path(path).name for path in left} == {"checkpoint.pt"}
    in_the_way.unlink()
    # The same fit again. Its workers took seconds to start, and have written what can be left.
    assert fit_step("cluster", 0) == left  # its artifact is uploaded afterwards
    assert (tmp_path / "rankers" / "versions.json").exists()
    assert fit_step(LOCAL, 0) == []


@pytest.mark.timeout(600)
def test_two_ray_workers_and_one_process_give_the_same_rankers(ray, made, tmp_path) -> None:
    alone, together = (_train(made, tmp_path, workers) for workers in (0, 2))
    assert len(alone) > 2
    _check_same(together, alone, tmp_path / "2", tmp_path / "0")
    assert (tmp_path / "run-2" / METRICS_FILE).exists()


@pytest.mark.timeout(600)
def test_a_killed_worker_goes_on_from_the_last_checkpoint(
    ray, made, kill_a_worker, tmp_path
) -> None:
    config = replace(CONFIG, epochs=20.0, report_every=4, checkpoint_every=4)
    run = _run(tmp_path, "killed", 2)
    with kill_a_worker(run.folder / METRICS_FILE) as killed:
        found = _train(made, tmp_path, 2, config, "killed")
    assert killed
    lines = (run.folder / METRICS_FILE).read_text().splitlines()
    repeated = len(lines) - len(found)  # reports between the last stored checkpoint and the kill
    assert 0 <= repeated < killed[0]  # it went on, it did not begin again
    whole = _train(made, tmp_path, 0, config, "whole")
    _check_same(found, whole, tmp_path / "killed", tmp_path / "whole")
