import re

import polars as pl

from homefeed.data import item_content
from homefeed.data.item_content import load_content

LATE_S = 10**9


def test_a_data_set_without_items_has_no_columns(with_items):
    assert load_content(*with_items(None, 7, 8), before_s=LATE_S).shape == (3, 0)


def test_content_follows_the_vocabulary_and_strangers_are_left_out(with_items):
    items = pl.DataFrame({"item_id": [9, 7, 55], "categories": [["b", "a"], ["a"], ["c"]]})
    content = load_content(*with_items(items, 7, 8, 9), before_s=LATE_S)
    assert not content[[0, 2]].any()
    assert content[[1, 3]].any(axis=1).all()


def test_items_of_like_text_are_close_whatever_the_script(with_items):
    texts = ["rote Lampe groß", "große rote Lampe", "青い 椅子", "青い 椅子 小"]
    items = pl.DataFrame({"item_id": [1, 2, 3, 4], "text": texts})
    content = load_content(*with_items(items, 1, 2, 3, 4), before_s=LATE_S, text_dim=2)
    same, other = content[1] @ content[2], content[1] @ content[3]
    assert same > 0.9
    assert abs(other) < 0.1
    assert content[3] @ content[4] > 0.9


def test_titles_without_spaces_between_their_words_are_close_where_they_share_words(with_items):
    texts = ["央行下调存款利率", "多家银行存款利率下调", "国足客场夺冠", "女排客场夺冠⚽"]
    items = pl.DataFrame({"item_id": [1, 2, 3, 4], "text": texts})
    content = load_content(*with_items(items, 1, 2, 3, 4), before_s=LATE_S, text_dim=2)
    assert content[1] @ content[2] > 0.9
    assert content[3] @ content[4] > 0.9
    assert abs(content[1] @ content[3]) < 0.1


def test_words_of_other_scripts_are_the_terms_that_they_were_by_default():
    texts = ["A blue-enamel mug, 12 cm: naïve_Łukasz's", "кружка 5 л", "커피 잔", "🎬 ok"]
    built = re.compile(item_content._TERM)
    for text in texts:
        assert built.findall(text) == re.findall(r"(?u)\b\w\w+\b", text)


def test_a_broken_number_becomes_the_mean_and_a_constant_column_does_not_divide_by_zero(
    with_items,
):
    items = pl.DataFrame(
        {"item_id": [1, 2, 3], "content": [[1.0, 5.0], [3.0, 5.0], [float("nan"), 5.0]]},
        schema_overrides={"content": pl.List(pl.Float32)},
    )
    content = load_content(*with_items(items, 1, 2, 3), before_s=LATE_S)
    assert content[1:].tolist() == [[-1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]
