import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homefeed.errors import ArtifactError, ConfigError
from homefeed.retrieval import IndexConfig, ItemIndex

GRAPH = IndexConfig(exact_below=1, search_depth=64)  # small catalogues go through the graph too


def unit_vectors(count, dim=8, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(count + 1, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[0] = 0
    return vectors


def slow_search(vectors, items, query, count, exclude=(), allowed=None):
    """Sort all usable items by score."""
    usable = [i for i in items if i not in set(exclude) and (allowed is None or allowed[i])]
    return sorted(usable, key=lambda i: -float(vectors[i] @ query))[:count]


def test_hand_computed_neighbours_carry_their_own_ids_and_scores():
    vectors = np.array([[0, 0], [1, 0], [0, 0], [0.6, 0.8], [0, 1]], np.float32)
    for config in (IndexConfig(), GRAPH):
        items, scores = ItemIndex.build(vectors, config=config).search(np.array([1.0, 0.0]), 2)
        assert items.tolist() == [1, 3]
        assert scores == pytest.approx([1.0, 0.6], abs=1e-6)


def test_more_wanted_than_there_are_gives_all_and_no_padding():
    vectors = np.array([[0, 0], [1, 0], [0, 0], [0.6, 0.8]], np.float32)  # item 2 has no vector
    for config in (IndexConfig(), GRAPH):
        items, scores = ItemIndex.build(vectors, config=config).search(np.array([1.0, 0.0]), 10)
        assert items.tolist() == [1, 3]
        assert len(scores) == 2


def test_an_index_of_nothing_finds_nothing():
    for config in (IndexConfig(), IndexConfig(exact_below=0)):
        index = ItemIndex.build(np.zeros((3, 4), np.float32), config=config)
        assert [part.tolist() for part in index.search(np.ones(4), 5)] == [[], []]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_graph_with_filters_never_returns_what_it_must_not(data):
    vectors = unit_vectors(60)
    items = np.array(sorted(data.draw(st.sets(st.integers(1, 60), min_size=1, max_size=60))))
    index = ItemIndex.build(vectors, items, GRAPH)
    exclude = data.draw(st.sets(st.integers(0, 80), max_size=60))  # unknown items and padding too
    allowed = None
    if data.draw(st.booleans()):
        allowed = np.array(data.draw(st.lists(st.booleans(), min_size=61, max_size=61)))
    count = data.draw(st.integers(1, 70))
    query = unit_vectors(1, seed=data.draw(st.integers(0, 5)))[1]
    found, scores = index.search(query, count, exclude=exclude, allowed=allowed)
    expected = slow_search(vectors, items.tolist(), query, count, exclude, allowed)
    assert len(found) == len(expected)
    assert len(set(found.tolist())) == len(found)
    usable = slow_search(vectors, items.tolist(), query, 60, exclude, allowed)
    assert set(found.tolist()) <= set(usable)
    assert scores == pytest.approx(vectors[found] @ query, abs=1e-5)
    assert (np.diff(scores) <= 1e-6).all()


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 50),
    exclude=st.sets(st.integers(0, 45), max_size=40),
    seed=st.integers(0, 9),
)
def test_exact_search_equals_a_sort(count, exclude, seed):
    vectors = unit_vectors(40)
    query = unit_vectors(1, seed=seed)[1]
    found, _ = ItemIndex.build(vectors).search(query, count, exclude=exclude)
    assert found.tolist() == slow_search(vectors, range(1, 41), query, count, exclude)


def test_the_graph_finds_nearly_what_exact_search_finds():
    vectors = unit_vectors(4_000, dim=32)
    index = ItemIndex.build(vectors, config=IndexConfig(exact_below=1))
    exact = ItemIndex.build(vectors, config=IndexConfig(exact_below=len(vectors) + 1))
    queries = unit_vectors(100, dim=32, seed=1)[1:]
    seen = list(range(1, 200))
    hits = [
        len(
            np.intersect1d(
                index.search(query, 10, exclude=seen)[0],
                exact.search(query, 10, exclude=seen)[0],
            )
        )
        for query in queries
    ]
    assert np.mean(hits) / 10 >= 0.95


def test_items_of_equal_score_come_in_the_order_of_their_index_when_searched_exactly():
    vectors = np.tile(np.array([[1, 0]], np.float32), (200, 1))
    vectors[0] = 0
    assert ItemIndex.build(vectors).search(np.array([1.0, 0.0]), 3)[0].tolist() == [1, 2, 3]


def test_padding_and_items_outside_the_vocabulary_cannot_be_indexed():
    for items in ([0, 1], [1, 9]):
        with pytest.raises(ConfigError, match="0 is padding"):
            ItemIndex.build(unit_vectors(8), np.array(items))


def test_a_vector_that_is_not_finite_is_named():
    vectors = unit_vectors(5)
    vectors[3, 0] = np.nan
    with pytest.raises(ConfigError, match="item 3"):
        ItemIndex.build(vectors)


def saved(index, folder):
    folder.mkdir()
    index.save(folder)


@pytest.mark.parametrize("config", [IndexConfig(), GRAPH])
def test_a_saved_index_answers_as_before(tmp_path, config):
    vectors = unit_vectors(300)
    index = ItemIndex.build(vectors, np.arange(1, 301, 2), config)
    saved(index, tmp_path / "index")
    opened = ItemIndex.open(tmp_path / "index", vectors)
    for query in unit_vectors(5, seed=3)[1:]:
        before, after = index.search(query, 20), opened.search(query, 20)
        assert before[0].tolist() == after[0].tolist()
        assert before[1].tolist() == after[1].tolist()


def _truncate(folder):
    path = folder / "index.usearch"
    path.write_bytes(path.read_bytes()[:200])


def _swap_ids(folder):
    ids = np.load(folder / "index_ids.npy")
    np.save(folder / "index_ids.npy", ids[::-1])


def _other_version(folder):
    described = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps(described | {"version": 0}))


def _other_setting(folder):
    described = json.loads((folder / "index.json").read_text())
    described["config"]["seed"] = 0
    (folder / "index.json").write_text(json.dumps(described))


@pytest.mark.parametrize(
    "harm",
    [
        _truncate,
        _swap_ids,
        _other_version,
        _other_setting,
        lambda folder: (folder / "index_ids.npy").unlink(),
    ],
)
def test_a_harmed_index_is_refused(tmp_path, harm):
    vectors = unit_vectors(300)
    saved(ItemIndex.build(vectors, config=GRAPH), tmp_path / "index")
    harm(tmp_path / "index")
    with pytest.raises(ArtifactError, match="make the snapshot again"):
        ItemIndex.open(tmp_path / "index", vectors)


def test_an_index_opens_for_its_own_vectors_only(tmp_path):
    vectors = unit_vectors(30)
    saved(ItemIndex.build(vectors), tmp_path / "index")
    vectors[7, 0] += 1e-6
    with pytest.raises(ArtifactError, match="was built from vectors"):
        ItemIndex.open(tmp_path / "index", vectors)


def test_threads_that_search_one_graph_at_a_time_get_what_one_thread_gets():
    vectors = unit_vectors(3_000, dim=16)
    index = ItemIndex.build(vectors, config=IndexConfig(exact_below=1))
    queries = unit_vectors(400, dim=16, seed=1)[1:]
    alone = [index.search(query, 10)[0].tolist() for query in queries]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda query: index.search(query, 10)[0].tolist(), queries))
    assert together == alone
