import polars as pl

from homefeed.data.items import NO_TIME, load_items


def test_a_data_set_without_items_gives_an_empty_table(with_items):
    table = load_items(*with_items(None, 7, 8))
    assert table.created_s.tolist() == [NO_TIME] * 3


def test_rows_follow_the_vocabulary_and_strangers_are_left_out(with_items):
    items = pl.DataFrame(
        {
            "item_id": [9, 7, 55],
            "categories": [["b", "a"], ["a"], ["c"]],
            "created_at": [5_999, 2_000, 1_000],
        }
    )
    table = load_items(*with_items(items, 7, 8, 9))
    assert table.created_s.tolist() == [NO_TIME, 2, NO_TIME, 5]
    assert [table.topic_names[t] for t in table.topic] == ["", "a", "", "b"]


def test_the_last_row_of_a_repeated_item_counts(with_items):
    items = pl.DataFrame({"item_id": [7, 7], "categories": [["old"], ["new"]]})
    table = load_items(*with_items(items, 7))
    assert table.topic_names[table.topic[1]] == "new"


def test_items_are_old_from_their_creation_on_and_where_their_age_is_unknown(with_items):
    items = pl.DataFrame({"item_id": [1, 2, 3], "created_at": [1_000, 9_000, None]})
    table = load_items(*with_items(items, 1, 2, 3))
    assert table.old(1).tolist() == [False, True, False, True]
    assert table.old(9).tolist() == [False, True, True, True]
    assert table.old(0).tolist() == [False, False, False, True]
