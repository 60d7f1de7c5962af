"""Fitting rankers: it learns, workers do not change it, the time window is for training only."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch

from homefeed.artifacts import read_json, write_json
from homefeed.data.ranking_rows import EVALUATION
from homefeed.errors import ArtifactError, ConfigError
from homefeed.evaluation.ranking import POPULARITY, compare_scores, predict
from homefeed.models.config import TransActConfig, variant
from homefeed.models.ranker_artifact import load_ranker, save_ranker
from homefeed.models.ranker_description import describe_ranker
from homefeed.training.fit_ranker import RankerFit, run_ranker_fit, save_rankers
from homefeed.training.ranker_batches import RankerData
from homefeed.training.ranker_config import RankerFitConfig
from homefeed.training.ranker_loss import label_matrix, weighted_bce
from homefeed.training.ranker_plan import RankerPlan, planned_steps
from homefeed.training.workers import Worker

from . import one_of_many

SMALL = TransActConfig(item_dim=4, action_dim=4, ffn_dim=8, first_k=3, output_dim=6)


def config(**changes) -> RankerFitConfig:
    values = {
        "rankers": (variant("full", user_vector="none", transact=SMALL, hidden=(8,)),),
        "batch_rows": 64,
        "shard_rows": 32,
        "learning_rate": 0.02,
        "epochs": 3.0,
        "level_epochs": 0.25,
    }
    return RankerFitConfig(**(values | changes))


def fitted(config, training_set, store, tables):
    fit = RankerFit(config, training_set, store, tables, worker=Worker())
    run_ranker_fit(fit, None, None, show=False)
    return fit


def test_a_fitted_ranker_beats_chance_on_later_requests(training_set, store, tables, tmp_path):
    fit = fitted(config(), training_set, store, tables)
    judged = training_set.requests_of(EVALUATION)
    scores = {name: predict(ranker, fit.data, judged) for name, ranker in fit.rankers.items()}
    report = compare_scores(scores, training_set, judged)
    assert report.lists == "request"
    like = report.figures["full"]["like"]
    assert like.auc > 0.75  # even items are liked in 60 %, odd ones never
    assert like.hit.mean > 1.1  # chance: three fifths of 1.5 likes
    assert 0.7 < like.ratio < 1.4
    assert set(report.figures) == {"full", POPULARITY}
    assert report.difference("full", "full", "like").mean == 0


def test_a_fitted_ranker_says_which_action_types_its_log_declares_a_dislike(
    training_set, store, tables, tmp_path
):
    fit = fitted(config(epochs=0.1), training_set, store, tables)
    save_rankers(fit, tmp_path, {}, {})
    assert training_set.meta.negative == ("hide",)
    assert describe_ranker(tmp_path / "full").inputs.negative == ("hide",)


def test_a_ranker_that_does_not_tell_its_dislikes_is_refused(ranker, tmp_path):
    save_ranker(ranker, tmp_path / "cut", bound_to={}, training={})
    description = tmp_path / "cut" / "ranker.json"
    values = read_json(description)
    del values["inputs"]["negative"]
    write_json(description, values)
    with pytest.raises(ArtifactError, match=r"'negative'\); train it again"):
        load_ranker(tmp_path / "cut")


def test_the_window_hides_actions_from_training(training_set, store, tables):
    fit = RankerFit(config(), training_set, store, tables, worker=Worker())
    everything = replace_window(fit, 0.0)
    assert sum(s.hidden.sum() for s in fit.plan.shards(0, Worker())) > 0
    assert sum(s.hidden.sum() for s in everything.plan.shards(0, Worker())) == 0


def replace_window(fit: RankerFit, hours: float) -> RankerFit:
    changed = dataclasses.replace(fit.config, window_hours=hours)
    ranker = fit.rankers["full"]
    other = RankerFit(changed, fit.data.set, fit.data.store, _tables_of(ranker), worker=Worker())
    return other


def _tables_of(ranker):
    from homefeed.models.ranker_batch import ItemTables

    return ItemTables(vectors=ranker.item_vectors.numpy(), match={})


def test_every_epoch_sees_every_request_once_and_in_another_order(training_set, store):
    plan = RankerPlan(config(epochs=2.0, level_epochs=0.0), RankerData(training_set, store))
    half = plan.steps // 2
    epochs = [
        np.concatenate([plan.requests_of(step)[0] for step in range(first, first + half)])
        for first in (0, half)
    ]
    for seen in epochs:
        assert sorted(seen) == training_set.requests_of(0).tolist()
    assert (epochs[0] != epochs[1]).any()


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_share_the_shards_of_a_step_without_overlap(training_set, store, workers):
    plan = RankerPlan(config(batch_rows=200), RankerData(training_set, store))
    shards = [plan.shards(1, Worker(rank=rank, size=workers)) for rank in range(workers)]
    numbers = [shard.number for each in shards for shard in each]
    assert sorted(numbers) == list(range(len(numbers)))
    requests = np.concatenate([shard.requests for each in shards for shard in each])
    assert sorted(requests) == sorted(plan.requests_of(1)[0])
    assert planned_steps(plan.config, training_set) == plan.steps


def test_the_first_steps_fit_the_users_level_alone(training_set, store, tables):
    fit = RankerFit(config(level_epochs=1.0), training_set, store, tables, worker=Worker())
    before = {k: v.clone() for k, v in fit.rankers["full"].state_dict().items()}
    fit.train_step()
    changed = {
        k for k, v in fit.rankers["full"].state_dict().items() if not torch.equal(v, before[k])
    }
    assert changed
    assert all(key.startswith("level.") for key in changed)


def test_relevance_sends_no_gradient_into_the_level_nor_the_level_out(training_set, store, tables):
    fit = RankerFit(config(), training_set, store, tables, worker=Worker())
    ranker = fit.rankers["full"]
    batch = fit.data.batch(training_set.requests_of(0)[:9]).by_vector["none"]
    ranker.parts(batch)[1].sum().backward()
    assert all(p.grad is None for p in ranker.level.parameters())
    ranker.zero_grad(set_to_none=True)
    ranker.parts(batch)[0].sum().backward()
    with_gradient = {n for n, p in ranker.named_parameters() if p.grad is not None}
    assert with_gradient
    assert all(name.startswith("level.") for name in with_gradient)


def felt(key: str, value: torch.Tensor) -> torch.Tensor:
    """The part of a parameter that moves the result: a bias of all keys moves no softmax."""
    if not key.endswith("qkv.bias"):
        return value
    query, _, last = value.chunk(3)
    return torch.cat([query, last])


def test_two_processes_fit_what_one_fits(training_set, store, tmp_path):
    (tmp_path / "store").symlink_to(store.path)
    (tmp_path / "set").symlink_to(training_set.path)
    processes = [
        subprocess.Popen([sys.executable, one_of_many.__file__, str(tmp_path), str(rank), "2"])
        for rank in range(2)
    ]
    one_of_many.main(tmp_path, 0, 1)
    assert [p.wait() for p in processes] == [0, 0]
    one, two, other = (torch.load(tmp_path / f"{name}.pt") for name in ("1-0", "2-0", "2-1"))
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=1e-5)
    for name, weights in one["weights"].items():
        for key, value in weights.items():
            # By norm: where a gradient is nearly zero, Adam's division makes rounding visible.
            found, value = felt(key, two["weights"][name][key]), felt(key, value)
            distance = (found - value).norm() / value.norm().clamp(min=1e-6)
            assert distance < 1e-4, key
            torch.testing.assert_close(other["weights"][name][key], two["weights"][name][key])


def test_a_resumed_fit_ends_as_one_that_never_stopped(training_set, store, tables, tmp_path):
    straight = RankerFit(config(), training_set, store, tables, worker=Worker())
    assert straight.level_steps < 4  # the three steps on either side meet both phases
    for _ in range(6):
        straight.train_step()
    first = RankerFit(config(), training_set, store, tables, worker=Worker())
    for _ in range(3):
        first.train_step()
    first.save(tmp_path / "step")
    second = RankerFit(config(), training_set, store, tables, worker=Worker())
    second.resume(tmp_path / "step")
    for _ in range(3):
        second.train_step()
    for a, b in zip(
        straight.rankers["full"].parameters(), second.rankers["full"].parameters(), strict=True
    ):
        assert torch.equal(a, b)
    other = RankerFit(config(seed=1), training_set, store, tables, worker=Worker())
    with pytest.raises(ArtifactError, match="another fit"):
        other.resume(tmp_path / "step")


@pytest.mark.gpu
def test_a_gpu_fits_what_the_cpu_fits(training_set, store, tables, tmp_path):
    """Without dropout, whose draws differ between devices."""
    transact = dataclasses.replace(SMALL, dropout=0.0)
    still = variant("full", user_vector="none", transact=transact, hidden=(8,), dropout=0.0)
    losses = {}
    for device in ("cpu", "cuda"):
        fit = RankerFit(
            config(rankers=(still,)), training_set, store, tables, worker=Worker(device=device)
        )
        losses[device] = [float(fit.train_step()["full"]) for _ in range(fit.level_steps + 6)]
    np.testing.assert_allclose(losses["cuda"], losses["cpu"], rtol=2e-3)
    save_rankers(fit, tmp_path, {}, {})
    saved = load_ranker(tmp_path / "full").bind(tables)
    requests = training_set.requests_of(1)
    fitted = fit.rankers["full"].cpu()
    np.testing.assert_array_equal(
        predict(saved, fit.data, requests), predict(fitted, fit.data, requests)
    )


@pytest.mark.gpu
def test_a_fit_on_a_gpu_with_dropout_repeats_itself_and_goes_on_from_a_checkpoint(
    training_set, store, tables, tmp_path
):
    fits = [
        RankerFit(config(), training_set, store, tables, worker=Worker(device="cuda"))
        for _ in range(2)
    ]
    for _ in range(6):
        fits[0].train_step()
    for _ in range(3):
        fits[1].train_step()
    fits[1].save(tmp_path / "step")
    resumed = RankerFit(config(), training_set, store, tables, worker=Worker(device="cuda"))
    resumed.resume(tmp_path / "step")
    for _ in range(3):
        resumed.train_step()
    requests = training_set.requests_of(1)
    np.testing.assert_allclose(
        *(predict(fit.rankers["full"].cpu(), fit.data, requests) for fit in (fits[0], resumed)),
        atol=1e-3,  # sums on a GPU are not made in one order
    )


def test_a_ranker_does_not_change_because_another_is_listed_after_it(training_set, store, tables):
    common = {"user_vector": "none", "transact": SMALL, "hidden": (8,), "dropout": 0.3}
    first, second = (variant(name, **common) for name in ("full", "no_sequence"))
    alone, both = (
        RankerFit(config(rankers=rankers), training_set, store, tables, worker=Worker())
        for rankers in ((first,), (first, second))
    )
    for fit in (alone, both):
        for _ in range(fit.level_steps + 2):
            fit.train_step()
    for a, b in zip(
        alone.rankers["full"].parameters(), both.rankers["full"].parameters(), strict=True
    ):
        assert torch.equal(a, b)


def test_the_weighted_loss_equals_its_formula():
    torch.manual_seed(0)
    logits, labels = torch.randn(4, 2), (torch.rand(4, 2) < 0.5).float()
    weight = torch.rand(4)
    of_head, matrix = label_matrix(("a", "b"), {"b": 2.0}, {"a": {"b": 5.0}})
    expected = 0.0
    for n in range(4):
        for h in range(2):
            p, y = torch.sigmoid(logits[n, h]), labels[n, h]
            head = [1.0, 2.0][h] * (1 + (5.0 * labels[n, 1] if h == 0 else 0.0))
            expected -= weight[n] * head * (y * p.log() + (1 - y) * (1 - p).log())
    found = weighted_bce(logits, labels, weight, of_head, matrix)
    torch.testing.assert_close(found, expected)
    with pytest.raises(ConfigError, match="hidee"):
        label_matrix(("hide",), {"hidee": 1.0}, {})


def test_scores_of_the_evaluation_read_whole_histories(training_set, store, tables):
    fit = RankerFit(config(), training_set, store, tables, worker=Worker())
    ranker, requests = fit.rankers["full"].eval(), training_set.requests_of(1)
    with torch.no_grad():  # a ranker that starts at zero reads nothing
        for parameter in ranker.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        level, relevance = ranker.parts(fit.data.batch(requests).by_vector["none"])
    expected = torch.stack([level, relevance], dim=1).numpy()
    np.testing.assert_allclose(predict(ranker, fit.data, requests), expected, rtol=1e-4, atol=1e-4)


def test_in_the_joint_steps_the_level_learns_from_its_own_loss_alone(training_set, store, tables):
    fit = RankerFit(config(), training_set, store, tables, worker=Worker())
    ranker = fit.rankers["full"].eval()
    labelled = fit.data.batch(training_set.requests_of(0)[:9])
    gradients = []
    for only_level in (True, False):
        ranker.zero_grad(set_to_none=True)
        fit._loss(ranker, labelled, only_level)[1].backward()
        gradients.append([p.grad.clone() for p in ranker.level.parameters()])
    for alone, joint in zip(*gradients, strict=True):
        torch.testing.assert_close(joint, alone)
