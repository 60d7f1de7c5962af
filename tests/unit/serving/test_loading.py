"""What tells a running server to load a release again."""

import numpy as np
import pytest
import torch

from homefeed.embedding import UserVectors
from homefeed.errors import ConfigError
from homefeed.release.opened import newest_snapshot
from homefeed.snapshots import snapshot_path, write_snapshot
from serving.loading import load_scorer, snapshot_key
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
