"""A training set that is opened again: what was changed, cut off or joined too young is refused."""

import shutil

import numpy as np
import pytest

from homefeed.artifacts import read_json, write_json
from homefeed.data.ranking_rows import EVALUATION, TRAIN
from homefeed.data.training_set import TrainingSet
from homefeed.errors import ArtifactError

DAY_S = 86_400


def test_a_request_moved_out_of_its_window_is_refused(training_set, store, tmp_path):
    shutil.copytree(training_set.path, tmp_path / "moved")
    split = np.load(tmp_path / "moved/split.npy")
    split[0] = EVALUATION
    np.save(tmp_path / "moved/split.npy", split)
    with pytest.raises(ArtifactError, match="outside its window"):
        TrainingSet.open(tmp_path / "moved").verify(store)


def test_a_statistic_that_is_the_same_in_all_rows_to_train_on_is_named(training_set, tmp_path):
    shutil.copytree(training_set.path, tmp_path / "constant")
    assert training_set.constant_stats() == []
    stats = np.load(tmp_path / "constant/stats.npy")
    stats[training_set.rows_of(training_set.requests_of(TRAIN)), 1] = 0.5
    np.save(tmp_path / "constant/stats.npy", stats)
    assert len(np.unique(stats[:, 1])) > 1  # later it differs
    named = TrainingSet.open(tmp_path / "constant").constant_stats()
    assert named == [training_set.meta.stats[1]]


def test_changed_labels_are_refused(training_set, store, tmp_path):
    shutil.copytree(training_set.path, tmp_path / "changed")
    labels = np.load(tmp_path / "changed/labels.npy")
    labels[3, 0] ^= 1
    np.save(tmp_path / "changed/labels.npy", labels)
    with pytest.raises(ArtifactError, match="labels"):
        TrainingSet.open(tmp_path / "changed").verify(store)


def test_a_set_that_does_not_tell_its_dislikes_is_refused(training_set, tmp_path):
    shutil.copytree(training_set.path, tmp_path / "incomplete")
    described = read_json(tmp_path / "incomplete/meta.json")
    del described["negative"]
    write_json(tmp_path / "incomplete/meta.json", described)
    with pytest.raises(ArtifactError, match=r"'negative'.*; make the training set again"):
        TrainingSet.open(tmp_path / "incomplete")


def test_a_truncated_set_is_refused(training_set, tmp_path):
    shutil.copytree(training_set.path, tmp_path / "cut")
    path = tmp_path / "cut/actions.npy"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ArtifactError, match="actions"):
        TrainingSet.open(tmp_path / "cut")


def test_user_vectors_must_be_a_day_older_than_their_request_and_as_many(training_set, tmp_path):
    shutil.copytree(training_set.path, tmp_path / "joined")
    opened = TrainingSet.open(tmp_path / "joined")
    vectors = np.ones((opened.meta.requests, 3), np.float32)
    day_old = opened.time_s - DAY_S
    opened.add_user_vectors("mean_recent", vectors, day_old, "abc")
    found, as_of_s = opened.user_vectors("mean_recent")
    assert found.shape == vectors.shape
    assert (as_of_s == day_old).all()
    assert opened.encoder_hash("mean_recent") == "abc"
    with pytest.raises(ArtifactError, match="not a day before the request"):
        opened.add_user_vectors("mean_recent", vectors, day_old + 1, "abc")
    with pytest.raises(ArtifactError, match="lost or doubled"):
        opened.add_user_vectors("mean_recent", vectors[1:], day_old[1:], "abc")
    with pytest.raises(ArtifactError, match="no user vectors `pinnerformer`"):
        opened.user_vectors("pinnerformer")
