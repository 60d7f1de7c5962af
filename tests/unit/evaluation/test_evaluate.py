from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from homefeed.data.items import ItemTable
from homefeed.errors import ArtifactError
from homefeed.evaluation.baselines import OwnMostFrequent, RecentPopularity
from homefeed.evaluation.cases import VIEWS, build_cases
from homefeed.evaluation.config import EvaluationConfig
from homefeed.evaluation.evaluate import evaluate_all, evaluate_model
from homefeed.evaluation.index import Topics, acted_on_items, sample_index, topics_of
from homefeed.evaluation.refresh import MODES, queries_for
from homefeed.evaluation.report import Evaluation, compare
from homefeed.evaluation.scorers import EncoderModel, distinct_rows
from homefeed.report.pieces_models import evaluation_piece

DAY_S = 86_400
T0_S = 1_600_000_000
CONFIG = EvaluationConfig(
    modes=MODES, depths=(1, 3), coverage_depth=2, entropy_depth=3, bootstrap_samples=50
)


def evaluate(encoder, store, cases, config, topics) -> Evaluation:
    return evaluate_model(EncoderModel(encoder), store, cases, config, topics)


@dataclass
class SumOfItems:
    """An encoder with whole-number vectors, so that every product is exact."""

    vectors: np.ndarray
    kind: str = "sum"
    history_length: int = 4
    hash: str = "sum"

    @property
    def dim(self) -> int:
        return self.vectors.shape[1]

    def item_vectors(self) -> np.ndarray:
        return self.vectors

    def embed(self, batch) -> torch.Tensor:
        inside = torch.arange(batch.item.shape[1]) < batch.length[:, None]
        item = batch.item.where(batch.item < len(self.vectors), 0)  # joined after the fit
        vectors = torch.from_numpy(self.vectors)[item]
        return (vectors * inside[..., None]).sum(dim=1)


@pytest.fixture
def log(make_store):
    """Twelve users, nine items, thirty days around the cutoff."""
    generator = np.random.default_rng(0)
    rows = {
        (
            int(generator.integers(1, 13)),
            int(generator.integers(101, 110)),
            str(generator.choice(["like", "view", "hate"], p=[0.6, 0.3, 0.1])),
            T0_S + int(generator.integers(-20 * DAY_S, 10 * DAY_S)),
        )
        for _ in range(260)
    }
    return make_store(sorted(rows, key=lambda row: row[3]))


@pytest.fixture
def encoder(log):
    vectors = np.random.default_rng(1).integers(-2, 3, (log.meta.item_count + 1, 3))
    vectors[0] = 0
    vectors[4] = vectors[5]  # equal items: a tie whatever the user
    return SumOfItems(vectors.astype(np.float32))


@pytest.fixture
def cases(log):
    users = np.arange(1, log.meta.user_count + 1)
    return build_cases(log, cutoff_s=T0_S, horizon_s=7 * DAY_S, users=users)


@pytest.fixture
def topics(log):
    return Topics(np.arange(log.meta.item_count + 1, dtype=np.int32) % 3, "by hand")


def test_items_that_were_only_shown_are_no_rivals(make_store):
    acted = [(1, 10, "like", T0_S - 9), (1, 11, "view", T0_S - 5), (1, 12, "like", T0_S + 9)]
    seen = [(1, 99, T0_S - 20), (1, 11, T0_S - 6), (1, 98, T0_S + 1)]
    store = make_store(acted, shown=seen)
    found = store.items.ids(acted_on_items(store))
    assert store.meta.item_count == 5
    assert sorted(found) == [10, 11, 12]
    cases = build_cases(store, cutoff_s=T0_S, horizon_s=DAY_S, users=np.array([1]))
    vectors = np.ones((store.meta.item_count + 1, 3), np.float32)
    topics = Topics(np.zeros(store.meta.item_count + 1, np.int32), "by hand")
    report = evaluate(SumOfItems(vectors), store, cases, CONFIG, topics).report
    assert (report.index_size, report.catalogue_size) == (3, 3)


def test_the_index_is_drawn_from_the_items_given():
    items = np.array([2, 3, 5, 7, 11, 13], np.int32)
    drawn = sample_index(items, 4, seed=1)
    assert len(set(drawn.tolist())) == 4
    assert set(drawn.tolist()) <= set(items.tolist())
    assert (np.diff(drawn) > 0).all()
    assert (sample_index(items, 4, seed=1) == drawn).all()
    assert (sample_index(items, 6, seed=1) == items).all()


def slow_recall(encoder, store, cases, mode, view, depth):
    """Recall by the definition, one target at a time, from the raw columns of the store."""
    queries, shares = queries_for(mode, cases), {}
    for target in np.flatnonzero(cases.view(view)):
        user = cases.users[cases.target_row[target]]
        before_s = queries.before_s[queries.target_query[target]]
        rows = np.arange(len(store.item))[store.rows(int(user))]
        past = [row for row in rows if store.available_s(np.array([row]))[0] < before_s]
        history = [store.item[row] for row in past][-encoder.history_length :]
        vector = sum((encoder.vectors[item] for item in history), np.zeros(3))
        item = cases.target_item[target]
        seen = set()
        if view.startswith("new"):
            seen = {store.item[row] for row in rows if store.time_s[row] < before_s}
        own = vector @ encoder.vectors[item]
        ahead = [
            other
            for other in range(1, store.meta.item_count + 1)
            if other != item and other not in seen and vector @ encoder.vectors[other] >= own
        ]
        shares.setdefault(user, []).append(len(ahead) < depth)
    return float(np.mean([np.mean(hits) for hits in shares.values()]))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("view", VIEWS)
def test_recall_equals_the_definition_written_out(log, encoder, cases, topics, mode, view):
    evaluation = evaluate(encoder, log, cases, CONFIG, topics)
    for depth in (1, 3):
        found = evaluation.report.find(mode, view, f"recall@{depth}")
        assert found.mean == pytest.approx(slow_recall(encoder, log, cases, mode, view, depth))
        assert found.low <= found.mean <= found.high


def test_small_chunks_give_the_same_report(log, encoder, cases, topics):
    whole = evaluate(encoder, log, cases, CONFIG, topics).report
    small = EvaluationConfig(
        modes=MODES, depths=(1, 3), coverage_depth=2, entropy_depth=3, bootstrap_samples=50,
        chunk_queries=2,
    )  # fmt: skip
    assert evaluate(encoder, log, cases, small, topics).report == whole


def test_modes_that_embed_again_ask_a_sample_of_users_and_once_asks_all(
    log, encoder, cases, topics
):
    config = replace(CONFIG, refresh_users=5, seed=3)
    whole = evaluate(encoder, log, cases, CONFIG, topics)
    found = evaluate(encoder, log, cases, config, topics)
    sample = cases.sample(5, seed=3)
    assert set(sample.users) < set(cases.users)
    for mode in MODES:
        users = found.report.find(mode, "all", "recall@3").users
        assert users == (len(cases.users) if mode == "once" else 5)
        name = f"{mode}/all/recall@3"
        asked = np.isfinite(found.by_user[name])
        assert asked.sum() == users
        np.testing.assert_array_equal(found.by_user[name][asked], whole.by_user[name][asked])
    assert found.report.find("realtime", "all", "recall@3").mean == pytest.approx(
        slow_recall(encoder, log, sample, "realtime", "all", 3)
    )


def test_the_report_says_where_a_mode_was_judged_on_a_part_of_the_users(
    log, encoder, cases, topics
):
    config = replace(CONFIG, depths=(10,))
    whole = evaluate(encoder, log, cases, config, topics)
    drawn = evaluate(encoder, log, cases, replace(config, refresh_users=5), topics)
    said = "Users drawn for the modes that embed again: daily 5, realtime 5."
    assert said in evaluation_piece([drawn]).notes
    assert not any("drawn" in note for note in evaluation_piece([whole]).notes)


def test_baselines_go_through_the_same_evaluation(log, cases, topics):
    popular = evaluate_model(RecentPopularity(), log, cases, CONFIG, topics)
    own = evaluate_model(OwnMostFrequent(), log, cases, CONFIG, topics)
    assert own.report.find("once", "all", "recall@3").mean > 0
    assert popular.report.find("once", "all", "p90_coverage@2").mean == pytest.approx(2 / 9)


def test_models_judged_side_by_side_get_the_reports_that_each_gets_alone(
    log, encoder, cases, topics
):
    models = [
        EncoderModel(encoder, "ours"),
        RecentPopularity(),
        EncoderModel(SumOfItems(-encoder.vectors), "the opposite"),
        OwnMostFrequent(),
    ]
    together = evaluate_all(models, log, cases, CONFIG, topics)
    alone = [evaluate_model(model, log, cases, CONFIG, topics) for model in models]
    assert [found.report for found in together] == [found.report for found in alone]
    assert len({found.report.find("once", "all", "recall@3").mean for found in alone}) > 1


def test_a_model_that_scores_everything_alike_finds_nothing(log, encoder, cases, topics):
    flat = SumOfItems(np.zeros_like(encoder.vectors))
    report = evaluate(flat, log, cases, CONFIG, topics).report
    assert report.find("once", "all", "recall@3").mean == 0
    assert report.find("once", "all", "percentile_rank").mean == 1


def test_a_sampled_index_keeps_positives_that_it_does_not_hold(log, encoder, cases, topics):
    config = EvaluationConfig(index_size=4, depths=(4, 5), bootstrap_samples=10)
    report = evaluate(encoder, log, cases, config, topics).report
    assert report.index_size == 4
    assert report.find("once", "all", "recall@5").mean == 1  # at most four can stand before
    assert report.find("once", "all", "recall@4").mean < 1


def test_an_item_that_joined_after_the_fit_ranks_with_a_zero_vector(log, encoder, cases, topics):
    older = SumOfItems(encoder.vectors[:-1])
    zeroed = encoder.vectors.copy()
    zeroed[-1] = 0
    assert (
        evaluate(older, log, cases, CONFIG, topics).report
        == evaluate(SumOfItems(zeroed), log, cases, CONFIG, topics).report
    )


def test_a_saved_evaluation_opens_equal_and_compares_to_nothing_with_itself(
    log, encoder, cases, topics, tmp_path
):
    evaluation = evaluate(encoder, log, cases, CONFIG, topics)
    evaluation.save(tmp_path / "e")
    opened = Evaluation.open(tmp_path / "e")
    assert opened.report == evaluation.report
    difference = compare(opened, evaluation, "recall@3", mode="daily", view="known")
    assert difference.mean == 0
    assert not difference.excludes_zero


def test_a_broken_evaluation_and_a_missing_metric_are_named(log, encoder, cases, topics, tmp_path):
    evaluation = evaluate(encoder, log, cases, CONFIG, topics)
    with pytest.raises(ArtifactError, match="recall@7"):
        compare(evaluation, evaluation, "recall@7")
    evaluation.save(tmp_path / "e")
    users = tmp_path / "e" / "users.npz"
    for broken in (b"", b"PK", users.read_bytes()[:-50]):
        users.write_bytes(broken)
        with pytest.raises(ArtifactError, match="run it again"):
            Evaluation.open(tmp_path / "e")


def test_equal_vectors_share_one_number_and_distinct_ones_do_not():
    rows = np.array([[1, 2], [0.0, 3], [1, 2], [-0.0, 3], [2, 1]], np.float32)
    distinct, group = distinct_rows(rows)
    assert len(distinct) == 3
    assert np.array_equal(distinct[group], rows)
    assert distinct_rows(rows[[0, 1, 4]])[1] is None


def test_topics_are_categories_where_there_are_any_else_clusters():
    table = ItemTable(np.zeros(3), np.array([0, 1, 2]), ("", "a", "b"))
    assert topics_of(table, np.zeros((3, 0))).source == "first item category"
    vectors = np.array([[0, 0], [1, 0], [1, 0.01], [0, 1]], np.float32)
    found = topics_of(ItemTable.empty(3), vectors)
    assert found.source == "k-means of item vectors (3 clusters)"
    assert found.number[0] == 0
    assert (found.number[1:] > 0).all()
    assert topics_of(ItemTable.empty(3), np.zeros((4, 0))).source.startswith("none")


def test_an_item_acted_on_in_the_querys_own_second_is_still_a_rival(make_store):
    moment = T0_S + 50
    log = make_store(
        [(1, 10, "like", T0_S - 5), (1, 11, "like", moment), (1, 12, "like", moment)],
    )
    worth = SumOfItems(np.array([[0], [1], [2], [3]], np.float32))  # item 12 before 11
    cases = build_cases(log, cutoff_s=T0_S, horizon_s=DAY_S, users=np.array([1]))
    topics = Topics(np.zeros(4, np.int32), "by hand")
    found = evaluate(worth, log, cases, replace(CONFIG, modes=("realtime",)), topics)
    # 10 is gone; 11 and 12 are asked at once, when neither was acted on: one of them is first.
    assert found.by_user["realtime/new/recall@1"].tolist() == [0.5]
