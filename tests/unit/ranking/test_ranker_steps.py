"""What one step of a fit of rankers takes its gradients, its dropout and its windows from."""

import numpy as np
import torch

from homefeed.models.config import TransActConfig, variant
from homefeed.schema import ActionFlag
from homefeed.training.fit_ranker import RankerFit
from homefeed.training.ranker_batches import RankerData
from homefeed.training.ranker_config import RankerFitConfig
from homefeed.training.ranker_plan import RankerPlan
from homefeed.training.workers import Worker

SMALL = TransActConfig(item_dim=4, action_dim=4, ffn_dim=8, first_k=3, output_dim=6)


def config(*names: str, **changes) -> RankerFitConfig:
    common = {"user_vector": "none", "transact": SMALL, "hidden": (8,)}
    values = {
        "rankers": tuple(variant(name, **common) for name in names or ("full",)),
        "batch_rows": 64,
        "shard_rows": 32,
        "learning_rate": 0.02,
        "level_epochs": 0.25,
    }
    return RankerFitConfig(**(values | changes))


def test_the_level_is_fitted_as_if_there_were_no_relevance(training_set, store, tables):
    fit = RankerFit(config(), training_set, store, tables, worker=Worker())
    for _ in range(fit.level_steps + 3):
        fit.train_step()
    ranker, labelled = fit.rankers["full"].eval(), fit.data.batch(training_set.requests_of(0)[:9])
    gradients = []
    for only_level in (True, False):
        ranker.zero_grad(set_to_none=True)
        fit._loss(ranker, labelled, only_level)[1].backward()
        gradients.append([p.grad for p in ranker.level.parameters()])
    for alone, beside in zip(*gradients, strict=True):
        assert alone.any()
        torch.testing.assert_close(beside, alone)


def test_every_step_shard_and_ranker_draws_a_dropout_of_its_own(training_set, store, tables):
    seeds = []

    class Watched(RankerFit):
        def _loss(self, *given):
            seeds.append(torch.initial_seed())
            return super()._loss(*given)

    names = ("full", "no_sequence")
    fit = Watched(config(*names), training_set, store, tables, worker=Worker())
    shards = [len(fit.plan.shards(step, fit.worker)) for step in (0, 1)]
    for _ in shards:
        fit.train_step()
    assert min(shards) > 1
    assert len(set(seeds)) == len(seeds) == sum(shards) * len(names)


def test_a_request_gets_another_window_in_another_epoch(training_set, store):
    plan = RankerPlan(config(epochs=2.0, level_epochs=0.0), RankerData(training_set, store))
    by_epoch = []
    for epoch in (0, 1):
        steps = range(epoch * plan.per_epoch, (epoch + 1) * plan.per_epoch)
        shards = [shard for step in steps for shard in plan.shards(step, Worker())]
        request = np.concatenate([shard.requests for shard in shards])
        hidden = np.concatenate([shard.hidden for shard in shards])
        by_epoch.append(hidden[np.argsort(request)])
    first, second = by_epoch
    assert len(first) == len(second) == len(training_set.requests_of(0))
    assert (first != second).any()


def test_the_window_ends_at_an_action_of_unknown_time(training_set, store):
    request = np.flatnonzero((np.asarray(training_set.actions) >= 0).sum(axis=1) >= 3)[:1]
    flags = np.array(store.flags)
    flags[training_set.actions[request[0], 1]] |= np.uint8(ActionFlag.TIME_UNKNOWN)

    class Untimed:
        meta, time_s = store.meta, store.time_s

    Untimed.flags = flags
    endless = 1e6  # hours
    assert RankerData(training_set, store).hidden(request, endless, 5) >= 3
    # What moves up must be the newest that is left: nothing behind it may be taken out.
    assert RankerData(training_set, Untimed()).hidden(request, endless, 5) == 1


def test_a_step_reads_histories_without_what_the_time_window_hides(training_set, store, tables):
    read = []

    class Watched(RankerFit):
        def _loss(self, ranker, labelled, only_level):
            read.append((labelled.by_vector["none"].actions > 0).sum(dim=1))
            return super()._loss(ranker, labelled, only_level)

    fit = Watched(config(), training_set, store, tables, worker=Worker())
    shards = fit.plan.shards(0, fit.worker)
    fit.train_step()
    assert any(shard.hidden.any() for shard in shards)
    for shard, length in zip(shards, read, strict=True):
        whole = fit.data.lengths(shard.requests)
        assert length.tolist() == (whole - shard.hidden).tolist()
