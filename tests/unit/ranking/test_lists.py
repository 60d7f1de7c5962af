"""What a ranker's lists are, and what orders them."""

import shutil

import numpy as np

from homefeed.data.training_set import TrainingSet
from homefeed.evaluation.bootstrap import bootstrap_mean
from homefeed.evaluation.ranking import (
    HeadFigures,
    RankingReport,
    compare_scores,
    list_kind,
    people,
)
from homefeed.evaluation.ranking_metrics import UserValues


def test_lists_of_users_are_ordered_without_the_level_lists_of_requests_are_not_changed_by_it(
    training_set,
):
    requests = training_set.requests_of(1)
    rows = training_set.rows_of(requests)
    generator = np.random.default_rng(0)
    relevance = generator.normal(size=(len(rows), 2)).astype(np.float32)
    level = generator.normal(size=(training_set.meta.requests, 2)).astype(np.float32) * 5
    level = level[training_set.request[rows]]
    scores = {
        "bare": np.stack([np.zeros_like(level), relevance], axis=1),
        "levelled": np.stack([level, relevance], axis=1),
    }
    by_user = compare_scores(scores, training_set, requests, lists="user")
    by_request = compare_scores(scores, training_set, requests, lists="request")
    for report in (by_user, by_request):
        bare, levelled = (report.figures[name]["like"] for name in scores)
        assert (bare.users.value == levelled.users.value).all()
    with_level = by_user.figures["levelled"]["like"]
    assert with_level.hit_with_level.mean != with_level.hit.mean
    assert with_level.auc != by_user.figures["bare"]["like"].auc


def test_users_without_an_index_are_not_one_user(training_set, tmp_path):
    shutil.copytree(training_set.path, tmp_path / "unknown")
    users = np.load(tmp_path / "unknown/user.npy")
    requests = training_set.requests_of(1)
    unknown = requests[:20]
    users[unknown] = 0
    np.save(tmp_path / "unknown/user.npy", users)
    opened = TrainingSet.open(tmp_path / "unknown")
    owner = people(opened, np.asarray(opened.request))
    mine = np.isin(opened.request, unknown)
    pairs = set(zip(owner[mine].tolist(), np.asarray(opened.request)[mine].tolist(), strict=True))
    assert len(pairs) == len({user for user, _ in pairs}) == 20
    assert (owner[mine] < 0).all()
    assert (owner[~mine] == users[opened.request[~mine]]).all()
    scores = {"any": np.zeros((len(opened.rows_of(requests)), 2, 2), np.float32)}
    judged = compare_scores(scores, opened, requests, lists="request")
    assert len(judged.figures["any"]["like"].users.user) > 20


def test_short_requests_are_judged_in_one_list_per_user(training_set):
    requests = training_set.requests_of(1)
    assert list_kind(training_set, requests) == "request"

    class Short:
        begin = np.arange(9) * 2

    assert list_kind(Short, np.arange(8)) == "user"


def test_a_difference_compares_each_user_with_himself():
    def figures(values):
        hit, users = bootstrap_mean(values), UserValues(np.arange(len(values)), values)
        return {
            "like": HeadFigures(
                hit=hit, hit_with_level=hit, auc=0.5, ece=0.0, ratio=1.0, users=users
            )
        }

    base = np.arange(50.0)
    report = RankingReport(
        lists="user", rows=50, figures={"ours": figures(base + 1), "theirs": figures(base)}
    )
    found = report.difference("ours", "theirs", "like")
    assert (found.low, found.mean, found.high) == (1.0, 1.0, 1.0)
