"""What tells a running server to load a release again, and how it weighs the heads."""

import gc
import weakref

import numpy as np
import pytest
import torch

from homefeed.embedding import UserVectors
from homefeed.errors import ConfigError
from homefeed.release.opened import newest_snapshot
from homefeed.snapshots import snapshot_path, write_snapshot
from serving import synthetic
from serving.building import served_of
from serving.catalog import Catalog, Source, Wanted
from serving.loading import load_scorer, load_served, release_key, snapshot_key, utility_of
from serving.settings import Settings

ENCODER, AS_OF_S, DAY_S = "abcdef0123456789", 20_000 * 86_400, 86_400


@pytest.fixture
def publish(tmp_path):
    """Write a day's snapshot with one user's vector; returns the newest one's key from then on."""

    def write(value: float, as_of_s: int = AS_OF_S) -> str:
        users = UserVectors(np.array([1], np.int32), np.array([[value, 1]], np.float32), as_of_s)
        write_snapshot(
            snapshot_path(tmp_path, ENCODER, as_of_s),
            users=users,
            typed_users=["i:7"],
            item_vectors=np.eye(3, 2, -1, dtype=np.float32),
            user_encoder_hash=ENCODER,
            items_hash="1" * 16,
            users_hash="2" * 16,
            vocabulary_users=1,
            created_s=as_of_s + DAY_S,
        )
        return snapshot_key(newest_snapshot(tmp_path, ENCODER))

    return write


def test_a_repaired_day_is_another_key_though_its_times_are_the_same(publish):
    assert publish(0.5) != publish(0.25)


def test_a_day_that_was_run_again_without_a_change_is_the_same_key(publish):
    assert publish(0.5) == publish(0.5)


def test_a_newer_day_is_another_key(publish):
    assert publish(0.5) != publish(0.5, AS_OF_S + DAY_S)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a CUDA device")
def test_a_scorer_for_a_gpu_that_is_not_there_is_refused_in_one_line(tmp_path):
    settings = Settings(workspace=tmp_path, scorer_device="cuda")
    with pytest.raises(ConfigError, match=r"serving.scorer_device is cuda, and torch .* finds no"):
        load_scorer(settings, 1)


def test_a_head_that_the_log_declares_negative_counts_against_whatever_its_name():
    assert utility_of(("click", "thumbs_down"), ("thumbs_down",), {}) == {
        "click": 1.0,
        "thumbs_down": -1.0,
    }
    assert utility_of(("click", "skip"), (), {}) == {"click": 1.0, "skip": 1.0}


def test_weights_that_were_set_come_before_what_the_log_declares():
    weights = Settings(utility="click=2,thumbs_down=-0.5").utility_weights()
    assert utility_of(("click", "like", "thumbs_down"), ("thumbs_down",), weights) == {
        "click": 2.0,
        "like": 0.0,
        "thumbs_down": -0.5,
    }


def test_a_served_release_weighs_its_heads_as_its_ranker_was_told(tmp_path):
    heads = {"heads": ("click", "thumbs_down"), "negative": ("thumbs_down",)}
    synthetic.write_workspace(synthetic.SyntheticWorkspace(root=tmp_path, num_users=3, **heads))
    released = load_served(Settings(workspace=tmp_path), 1)
    assert released.weights().tolist() == [1.0, -1.0]


def test_a_mistyped_head_is_a_problem_of_loading_and_not_a_feed_without_order(tmp_path):
    synthetic.write_workspace(synthetic.SyntheticWorkspace(root=tmp_path, num_users=3))
    settings = Settings(workspace=tmp_path, utility="clik=1")
    source = Source(
        wanted=lambda: Wanted(champion=1),
        key=lambda version: release_key(tmp_path, version),
        load=lambda version: load_served(settings, version),
    )
    catalog = Catalog(source, poll_s=1)
    catalog.refresh()
    (problem,) = served_of(catalog).describe()["problems"]
    assert problem == (
        "release version 1: HOMEFEED_UTILITY weighs 'clik', and the release has no such head; "
        "did you mean 'click'?"
    )


def test_what_a_server_leaves_is_freed_though_the_collector_no_longer_looks_at_it(tmp_path):
    synthetic.write_workspace(synthetic.SyntheticWorkspace(root=tmp_path, num_users=3))
    loaded = [load(Settings(workspace=tmp_path), 1) for load in (load_served, load_scorer)]
    alive = [weakref.ref(each) for each in loaded]
    gc.disable()  # as if all of it were frozen: `serving.tuning.freeze_garbage`
    try:
        loaded.clear()
        assert [each() for each in alive] == [None, None]
    finally:
        gc.enable()
