import json

import numpy as np
import polars as pl
import pytest

from homefeed.data.contract import write_dataset
from homefeed.data.sequences.build import build_sequences
from homefeed.data.specification import DatasetSpec
from homefeed.errors import ArtifactError, ConfigError
from homefeed.models.item_encoders import (
    ItemEncoder,
    cooccurrence,
    fit_item_encoder,
    ppmi,
)

CUTOFF_S = 1_000_000
SPEC = DatasetSpec(
    name="x", files={"actions": "a"}, positive=("like",), neutral=("view",), negative=("hate",)
)


@pytest.fixture
def make_log(tmp_path):
    """rows: (user, item, type, second); items: rows of the items table; arrived_s per row."""

    def make(rows, items=None, name="log", arrived_s=None):
        columns = ["user_id", "item_id", "action_type", "timestamp"]
        table = pl.DataFrame(rows, schema=columns, orient="row")
        arrived = table["timestamp"] if arrived_s is None else pl.Series(arrived_s)
        table = table.with_columns(arrived_at=arrived * 1000)
        tables = {"actions": table.with_columns(pl.col("timestamp") * 1000)}
        if items is not None:
            tables["items"] = items
        dataset = write_dataset(tmp_path / name, SPEC, tables)
        return dataset, build_sequences(dataset, tmp_path / f"{name}-store")

    return make


def random_rows(seed, count, first_s, last_s):
    generator = np.random.default_rng(seed)
    rows = {
        (
            int(generator.integers(1, 20)),
            int(generator.integers(1, 13)),
            str(generator.choice(["like", "view", "hate"])),
            int(generator.integers(first_s, last_s)),
        )
        for _ in range(count)
    }
    return sorted(rows, key=lambda row: row[3])


def catalogue(late_text="late words"):
    return pl.DataFrame(
        {
            "item_id": list(range(1, 13)),
            "text": [f"red apple number {i}" for i in range(1, 11)] + [late_text, None],
            "categories": [["fruit", "red"]] * 5 + [["green"]] * 6 + [[]],
            "content": [[float(i), float(i % 3)] for i in range(11)] + [None],
            "created_at": [i * 1000 for i in range(10)] + [(CUTOFF_S + 5) * 1000, None],
        },
        schema_overrides={"content": pl.List(pl.Float32)},
    )


def slow_counts(store, before_s, window):
    """Count company pair by pair."""
    counts = np.zeros((store.meta.item_count + 1,) * 2)
    for user in range(1, store.meta.user_count + 1):
        rows = np.arange(len(store.item))[store.rows(user)]
        items = [
            store.item[r] for r in rows if store.time_s[r] <= before_s and not store.flags[r] & 2
        ]
        for i, first in enumerate(items):
            for lag in range(1, window + 1):
                if i + lag < len(items) and items[i + lag] != first:
                    counts[first, items[i + lag]] += 1 / lag
                    counts[items[i + lag], first] += 1 / lag
    return counts


def test_company_is_counted_as_written_out(make_log):
    _, store = make_log(random_rows(0, 150, CUTOFF_S - 500, CUTOFF_S + 300))
    found = cooccurrence(store, CUTOFF_S, window=3).toarray()
    assert found == pytest.approx(slow_counts(store, CUTOFF_S, 3))


def test_an_action_that_arrived_after_the_cutoff_is_no_company(make_log):
    rows = [
        (user, item, "like", CUTOFF_S - 600 + 10 * item) for user in (1, 2) for item in (1, 2, 3)
    ]
    arrived_s = [row[3] for row in rows]
    arrived_s[4] = CUTOFF_S + 1  # user 2 on item 2
    _, store = make_log(rows, arrived_s=arrived_s)
    place = {i: store.items.index(i) for i in (1, 2, 3)}
    found = cooccurrence(store, CUTOFF_S, chunk_actions=2).toarray()  # a user is a chunk
    assert found[place[1], place[2]] == 1  # of user 1 alone
    assert found[place[1], place[3]] == 1.5  # lag 2, and lag 1 where item 2 is not there yet


def test_company_counted_in_small_chunks_is_the_same(make_log):
    _, store = make_log(random_rows(1, 150, 0, CUTOFF_S))
    whole = cooccurrence(store, CUTOFF_S).toarray()
    assert cooccurrence(store, CUTOFF_S, chunk_actions=10).toarray() == pytest.approx(whole)


def test_ppmi_of_a_hand_computed_table():
    from scipy.sparse import csr_matrix

    counts = np.array([[0, 2, 1], [2, 0, 0], [1, 0, 0]], float)
    marginal, smooth = counts.sum(1), counts.sum(1) ** 0.75
    found = ppmi(csr_matrix(counts)).toarray()
    expected = np.log((2 / 6) / (marginal[0] / 6 * smooth[1] / smooth.sum()))
    assert found[0, 1] == pytest.approx(expected)
    assert found[0, 0] == 0
    assert (found >= 0).all()


@pytest.mark.parametrize("kind", ["svd", "content", "svd+content"])
def test_nothing_after_the_cutoff_changes_an_items_vector(make_log, kind):
    past = random_rows(2, 120, 0, CUTOFF_S)
    vectors = []
    for name, future, text in (
        ("a", random_rows(3, 60, CUTOFF_S + 1, CUTOFF_S + 900), "late words"),
        ("b", random_rows(4, 90, CUTOFF_S + 1, CUTOFF_S + 900), "red apple entirely different"),
    ):
        dataset, store = make_log(past + future, catalogue(text), name)
        encoder = fit_item_encoder(kind, store, dataset, CUTOFF_S, dim=4)
        early = np.array([i for i in range(1, 13) if i != 11])  # 11 was created afterwards
        vectors.append(encoder.vectors[store.items.indices(pl.Series(early))])
    assert np.array_equal(*vectors)


def test_items_in_the_same_company_are_close(make_log):
    rows = []
    for user in range(40):  # users of even number act on items 1-3, others on 4-6
        items = [1, 2, 3] if user % 2 == 0 else [4, 5, 6]
        rows += [(user, item, "like", 100 * place) for place, item in enumerate(items)]
    dataset, store = make_log(rows)
    vectors = fit_item_encoder("svd", store, dataset, 10_000, dim=4).vectors
    place = {i: store.items.index(i) for i in range(1, 7)}
    assert vectors[place[1]] @ vectors[place[3]] > 0.7
    assert abs(vectors[place[1]] @ vectors[place[4]]) < 0.1


def test_rows_have_length_one_or_are_zero_and_padding_is_zero(make_log):
    rows = [*random_rows(5, 80, 0, 500), (1, 99, "like", 900)]  # 99 is unseen by second 600
    dataset, store = make_log(rows, catalogue())
    for kind in ("svd", "svd+content"):
        vectors = fit_item_encoder(kind, store, dataset, 600, dim=4).vectors
        length = np.linalg.norm(vectors, axis=1)
        assert ((np.abs(length - 1) < 1e-5) | (length == 0)).all()
        assert length[0] == 0
        assert length[store.items.index(99)] == 0


def test_none_has_no_columns_and_an_unknown_kind_is_refused(make_log):
    dataset, store = make_log(random_rows(6, 20, 0, 500))
    assert fit_item_encoder("none", store, dataset, 600).vectors.shape == (
        store.meta.item_count + 1,
        0,
    )
    with pytest.raises(ConfigError, match="pinsage"):
        fit_item_encoder("pinsage", store, dataset, 600)


def test_a_saved_encoder_opens_equal_and_an_altered_one_is_refused(make_log, tmp_path):
    dataset, store = make_log(random_rows(7, 60, 0, 500))
    encoder = fit_item_encoder("svd", store, dataset, 600, dim=3)
    encoder.save(tmp_path / "encoder")
    opened = ItemEncoder.open(tmp_path / "encoder")
    assert opened.hash == encoder.hash
    assert np.array_equal(opened.vectors, encoder.vectors)
    described = tmp_path / "encoder" / "item_encoder.json"
    values = json.loads(described.read_text())
    described.write_text(json.dumps({**values, "version": 0}))
    with pytest.raises(ArtifactError, match="has version 0, this code reads version"):
        ItemEncoder.open(tmp_path / "encoder")
    described.write_text(json.dumps(values))
    np.save(tmp_path / "encoder" / "vectors.npy", encoder.vectors + 1)
    with pytest.raises(ArtifactError, match="fit it again"):
        ItemEncoder.open(tmp_path / "encoder")
    (tmp_path / "encoder" / "vectors.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(ArtifactError, match="fit it again"):
        ItemEncoder.open(tmp_path / "encoder")
