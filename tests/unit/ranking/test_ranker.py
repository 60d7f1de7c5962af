"""The ranker's scores: what they may depend on, and that the serving form is the plain form."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homefeed.data.familiarity import FEATURES
from homefeed.errors import ArtifactError
from homefeed.models.config import variant
from homefeed.models.ranker import Ranker
from homefeed.models.ranker_artifact import load_ranker, save_ranker
from homefeed.models.ranker_batch import ItemTables, RankerBatch
from homefeed.models.ranker_description import describe_ranker
from homefeed.models.scorer import Scorer, ScorerSettings, UserFeatures

NUM_ITEMS = 30
SHARED = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
lengths = st.integers(0, 12)
seeds = st.integers(0, 99)


def statistics() -> np.ndarray:
    return np.random.default_rng(5).normal(size=(NUM_ITEMS + 1, 3)).astype(np.float32)


def features(length: int, seed: int = 0, **changes) -> UserFeatures:
    generator = np.random.default_rng(seed)
    values = {
        "request_time_s": 1_700_000_000 + seed,
        "items": generator.integers(1, NUM_ITEMS + 1, length),
        "actions": generator.integers(1, 3, length),
        "surface": 1,
        "vector": generator.normal(size=6).astype(np.float32),
        "vector_age_s": 80_000.0,
    }
    return UserFeatures(**(values | changes))


def scorer(ranker: Ranker, tables: ItemTables, **changes) -> Scorer:
    return Scorer(ranker, tables, statistics(), ScorerSettings(**changes))


CANDIDATES = np.array([3, 9, 9, 30, 1, 17])


@SHARED
@given(length=lengths, seed=seeds, chunk=st.integers(1, 7))
def test_the_fast_form_scores_as_the_plain_form(ranker, item_tables, length, seed, chunk):
    plain = scorer(ranker, item_tables, exact_algebra=False)
    fast = scorer(ranker, item_tables, chunk=chunk)
    user = features(length, seed)
    np.testing.assert_allclose(
        fast.score(user, CANDIDATES), plain.score(user, CANDIDATES), atol=2e-5
    )


@SHARED
@given(length=lengths, seed=seeds, padding=st.integers(1, 9))
def test_padding_never_changes_a_score(ranker, item_tables, length, seed, padding):
    user = features(length, seed)
    padded = dataclasses.replace(
        user,
        items=np.append(user.items, np.arange(1, padding + 1)),  # whatever lies there
        actions=np.append(user.actions, np.zeros(padding, np.int64)),
    )
    for settings_ in ({}, {"exact_algebra": False}):
        each = scorer(ranker, item_tables, **settings_)
        np.testing.assert_allclose(
            each.score(padded, CANDIDATES), each.score(user, CANDIDATES), atol=1e-6
        )


@SHARED
@given(length=lengths, seed=seeds, order=st.permutations(range(6)))
def test_permuting_candidates_permutes_their_scores(ranker, item_tables, length, seed, order):
    each, user = scorer(ranker, item_tables, chunk=4), features(length, seed)
    expected = each.score(user, CANDIDATES)[list(order)]
    np.testing.assert_allclose(each.score(user, CANDIDATES[list(order)]), expected, atol=1e-6)


@SHARED
@given(length=lengths, seed=seeds, others=st.lists(st.integers(1, 30), max_size=6))
def test_a_score_does_not_depend_on_the_other_candidates(ranker, item_tables, length, seed, others):
    each, user = scorer(ranker, item_tables, chunk=3), features(length, seed)
    alone = each.score(user, np.array([9]))
    together = each.score(user, np.array([*others, 9]))[-1:]
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_several_requests_of_one_batch_score_as_alone(ranker, item_tables):
    users = [features(length, seed=length) for length in (5, 0, 9)]
    plain = scorer(ranker, item_tables, exact_algebra=False)
    alone = [plain.score(user, CANDIDATES) for user in users]
    width = 9

    def padded(name):
        rows = [np.pad(getattr(u, name), (0, width - len(u.items))) for u in users]
        return torch.from_numpy(np.stack(rows).astype(np.int64))

    batch = RankerBatch(
        items=padded("items"),
        actions=padded("actions"),
        user_vector=torch.from_numpy(np.stack([u.vector for u in users])),
        vector_age_s=torch.tensor([u.vector_age_s for u in users]),
        time_s=torch.tensor([u.request_time_s for u in users]),
        surface=torch.tensor([u.surface for u in users]),
        request=torch.arange(3).repeat_interleave(6),
        candidates=torch.from_numpy(CANDIDATES).repeat(3),
        stats=torch.from_numpy(statistics()[CANDIDATES]).repeat(3, 1),
        familiarity=torch.zeros(18, 2),
    )
    with torch.no_grad():
        together = ranker(batch).sigmoid().numpy()
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-5)


def test_what_training_never_told_is_not_read_at_serving(ranker, item_tables):
    told = np.eye(2, dtype=np.float32)[[0, 1, 1, 0, 1, 0]]
    each, user = scorer(ranker, item_tables), features(8)
    plain = each.score(user, CANDIDATES)
    assert np.abs(each.score(user, CANDIDATES, told) - plain).max() > 1e-4
    ranker.set_told(torch.tensor([True, False]))
    without = told * np.array([1, 0], np.float32)
    np.testing.assert_array_equal(
        each.score(user, CANDIDATES, told), each.score(user, CANDIDATES, without)
    )
    assert np.abs(each.score(user, CANDIDATES, told) - plain).max() > 1e-4
    ranker.set_told(torch.zeros(2))
    np.testing.assert_array_equal(each.score(user, CANDIDATES, told), plain)


def test_a_statistic_that_never_differed_in_training_is_not_read_at_serving(ranker, item_tables):
    mean, scale, later = torch.full((3,), 0.1), torch.ones(3), statistics()
    later[:, 0] += 7.0

    def scores(stats: np.ndarray) -> np.ndarray:
        ranker.set_normaliser(mean, scale)
        return Scorer(ranker, item_tables, stats, ScorerSettings()).score(features(8), CANDIDATES)

    assert np.abs(scores(later) - scores(statistics())).max() > 1e-4
    scale[0] = 1e-9  # what rounding leaves of a constant
    np.testing.assert_array_equal(scores(later), scores(statistics()))
    assert np.isfinite(scores(later)).all()


def test_the_level_is_the_same_for_every_candidate_and_moves_no_order(ranker, item_tables):
    each, user = scorer(ranker, item_tables, exact_algebra=False), features(8)
    with torch.no_grad():
        batch = each._batch(user, torch.from_numpy(CANDIDATES))
        level, relevance = ranker.parts(batch)
        assert torch.equal(level, level[:1].expand_as(level))
        torch.testing.assert_close(level + relevance, ranker(batch))
    assert (relevance[:, 0].argsort() == ranker(batch)[:, 0].argsort()).all()


def test_sequence_user_vector_and_surface_each_matter(ranker, item_tables):
    each = scorer(ranker, item_tables)
    base = each.score(features(8), CANDIDATES)
    vector = np.full(6, 2.0, np.float32)
    later = features(8).request_time_s + 40_000
    for changed in (
        features(3),
        features(8, vector=vector),
        features(8, surface=0),
        features(8, request_time_s=later),
    ):
        assert np.abs(each.score(changed, CANDIDATES) - base).max() > 1e-5


def test_what_another_process_lent_is_copied_and_no_warning_in_the_log(
    ranker, item_tables, recwarn
):
    familiarity = np.ones((len(CANDIDATES), len(FEATURES)), np.float32)
    candidates = np.array(CANDIDATES)
    for lent in (familiarity, candidates):
        lent.flags.writeable = False
    torch.set_warn_always(True)
    scorer(ranker, item_tables).score(features(12), candidates, familiarity)
    torch.set_warn_always(False)
    assert not recwarn.list


def test_threads_that_share_the_candidates_change_nothing(ranker, item_tables):
    alone = scorer(ranker, item_tables, chunk=2)
    shared = scorer(ranker, item_tables, chunk=2, threads=3)
    for length in (0, 1, 9):
        user = features(length)
        np.testing.assert_array_equal(shared.score(user, CANDIDATES), alone.score(user, CANDIDATES))


def test_only_the_last_hundred_actions_are_read(ranker, item_tables):
    each = scorer(ranker, item_tables)
    long = features(140)
    cut = dataclasses.replace(long, items=long.items[:100], actions=long.actions[:100])
    np.testing.assert_array_equal(each.score(long, CANDIDATES), each.score(cut, CANDIDATES))


def test_what_the_ranker_never_met_is_unknown_and_no_error(ranker, item_tables):
    each = scorer(ranker, item_tables)
    new_item = features(4, items=np.array([5, 999, 7, 8]))
    unknown = features(4, items=np.array([5, 0, 7, 8]))
    np.testing.assert_array_equal(each.score(new_item, CANDIDATES), each.score(unknown, CANDIDATES))
    new_type = features(3, items=np.array([5, 6, 7]), actions=np.array([1, 77, 2]))
    without = features(2, items=np.array([5, 7]), actions=np.array([1, 2]), vector=new_type.vector)
    np.testing.assert_allclose(
        each.score(new_type, CANDIDATES),
        each.score(
            dataclasses.replace(without, request_time_s=new_type.request_time_s), CANDIDATES
        ),
    )
    assert np.isfinite(each.score(features(0, vector=None, surface=99), CANDIDATES)).all()


def test_no_candidates_give_no_scores(ranker, item_tables):
    assert scorer(ranker, item_tables).score(features(5), np.array([], int)).shape == (0, 2)


@pytest.mark.parametrize("name", ["full", "no_sequence", "control", "no_vector"])
def test_every_variant_scores_and_comes_back_from_disk(name, item_tables, ranker, tmp_path):
    torch.manual_seed(0)
    reads = name != "no_vector"
    inputs = dataclasses.replace(ranker.inputs, user_vector_dim=6 if reads else 0)
    made = Ranker(variant(name), inputs).bind(item_tables).eval()
    written = save_ranker(made, tmp_path / name, bound_to={"items_hash": "x"}, training={"step": 1})
    assert describe_ranker(tmp_path / name).hash == written
    loaded = load_ranker(tmp_path / name)
    assert loaded.config == made.config
    assert loaded.inputs == made.inputs
    found = scorer(loaded, item_tables).score(features(5), CANDIDATES)
    expected = scorer(made, item_tables).score(features(5), CANDIDATES)
    np.testing.assert_array_equal(found, expected)


def test_altered_weights_and_foreign_tables_are_refused(ranker, item_tables, tmp_path):
    save_ranker(ranker, tmp_path / "r", bound_to={}, training={})
    weights = tmp_path / "r/weights.pt"
    weights.write_bytes(weights.read_bytes()[:-7])
    with pytest.raises(ArtifactError, match="train it again"):
        load_ranker(tmp_path / "r")
    with pytest.raises(ArtifactError, match="does not exist"):
        load_ranker(tmp_path / "nowhere")
    narrow = ItemTables(vectors=item_tables.vectors[:, :5], match=item_tables.match)
    with pytest.raises(ArtifactError, match="item_vectors have 5 columns"):
        scorer(ranker, narrow)
    with pytest.raises(ArtifactError, match="pinnerformer"):
        scorer(ranker, ItemTables(vectors=item_tables.vectors, match={}))
    with pytest.raises(ArtifactError, match="differ in length"):
        Scorer(ranker, item_tables, statistics()[:-1])


def test_the_fastest_precision_is_one_of_the_two_and_scores_alike(ranker, item_tables):
    each = scorer(ranker, item_tables, precision="fastest")
    assert each.fast.dtype in (torch.float32, torch.bfloat16)
    expected = scorer(ranker, item_tables).score(features(9), CANDIDATES)
    np.testing.assert_allclose(each.score(features(9), CANDIDATES), expected, atol=0.02)


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("changes", "tolerance"),
    [({}, 2e-5), ({"exact_algebra": False}, 2e-5), ({"precision": "bfloat16"}, 0.02)],
)
def test_a_gpu_scores_as_the_cpu_scores(ranker, item_tables, changes, tolerance):
    plain = scorer(ranker, item_tables, exact_algebra=False)
    expected = [plain.score(features(length), CANDIDATES) for length in (0, 1, 9, 100)]
    on_gpu = scorer(copy.deepcopy(ranker), item_tables, device="cuda", **changes)
    on_gpu.warm_up()
    for length, score in zip((0, 1, 9, 100), expected, strict=True):
        found = on_gpu.score(features(length), CANDIDATES)
        np.testing.assert_allclose(found, score, atol=tolerance)


def test_unknown_settings_are_refused():
    with pytest.raises(ValueError, match="float16"):
        ScorerSettings(precision="float16")
    with pytest.raises(ValueError, match="pinnersage"):
        variant("full", user_vector="pinnersage")
    with pytest.raises(ValueError, match="fuller"):
        variant("fuller")
