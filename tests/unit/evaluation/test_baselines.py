import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from homefeed.evaluation.baselines import OwnMostFrequent, RecentPopularity
from homefeed.evaluation.index import columns_for

DAY_S = 86_400
T0_S = 1_600_000_000


def all_columns(store):
    every = np.arange(1, store.meta.item_count + 1, dtype=np.int32)
    return columns_for(every, every[:0], store.meta.item_count)


def ranking(model, store, user, before_s):
    """External item ids that score above nothing, best first."""
    scorer = model.scorer(store, all_columns(store))
    (scores,) = scorer.scores(np.array([store.users.index(user)]), np.array([before_s]))
    order = np.argsort(-scores, kind="stable")
    return [store.items.ids([i + 1])[0] for i in order if scores[i] > 0]


def test_popularity_counts_positives_of_the_window_and_breaks_ties_by_recency(make_store):
    store = make_store(
        [
            (1, 10, "like", T0_S - 30 * DAY_S),  # too old
            (1, 10, "like", T0_S - 20 * DAY_S),
            (2, 11, "like", T0_S - 5),
            (3, 11, "like", T0_S - 4),
            (1, 12, "like", T0_S - 3),
            (1, 13, "view", T0_S - 2),  # no positive
            (1, 14, "like", T0_S),  # available only after its second
            (2, 14, "like", T0_S + 1),
        ]
    )
    assert ranking(RecentPopularity(28), store, 1, T0_S) == [11, 12, 10]


def test_own_items_are_ordered_by_count_then_recency_and_others_score_nothing(make_store):
    store = make_store(
        [
            (1, 10, "like", 100),
            (1, 11, "like", 200),
            (1, 11, "like", 300),
            (1, 12, "like", 400),
            (1, 13, "view", 500),
            (2, 14, "like", 100),
            (1, 15, "like", 900),
        ]
    )
    assert ranking(OwnMostFrequent(), store, 1, 600) == [11, 12, 10]
    assert ranking(OwnMostFrequent(), store, 2, 100) == []


actions = st.lists(
    st.tuples(
        st.integers(1, 3), st.integers(1, 4), st.sampled_from(["like", "view"]), st.integers(0, 99)
    ),
    min_size=1,
    max_size=30,
    unique=True,  # exact duplicates are removed when a store is built
)


@settings(max_examples=25, deadline=None)
@given(rows=actions, moments=st.lists(st.integers(1, 110), min_size=1, max_size=6))
def test_sliding_counts_equal_counting_anew_whatever_the_order_of_queries(
    tmp_path_factory, rows, moments
):
    import polars as pl

    from homefeed.data.contract import write_dataset
    from homefeed.data.sequences.build import build_sequences
    from homefeed.data.specification import DatasetSpec

    folder = tmp_path_factory.mktemp("log")
    columns = ["user_id", "item_id", "action_type", "timestamp"]
    table = pl.DataFrame(rows, schema=columns, orient="row")
    table = table.with_columns(pl.col("timestamp") * 100_000)  # 100 s apart, in milliseconds
    spec = DatasetSpec(
        name="x", files={"actions": "a.parquet"}, positive=("like",), neutral=("view",)
    )
    store = build_sequences(write_dataset(folder / "d", spec, {"actions": table}), folder / "s")
    scorer = RecentPopularity(days=0.03).scorer(store, all_columns(store))  # 2,592 s
    for moment in moments:
        before_s = moment * 100
        (scores,) = scorer.scores(np.array([1]), np.array([before_s]))
        for index, item in enumerate(store.items.ids(np.arange(1, store.meta.item_count + 1))):
            expected = sum(
                kind == "like" and liked == item and before_s - 2_592 <= second * 100 < before_s
                for _, liked, kind, second in rows
            )
            assert int(scores[index]) == expected
