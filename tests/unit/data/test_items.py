import re

import polars as pl
import pytest

from homefeed.data import items as items_module
from homefeed.data.contract import write_dataset
from homefeed.data.items import NO_TIME, load_items
from homefeed.data.specification import DatasetSpec
from homefeed.data.vocabulary import Vocabulary

ACTIONS = pl.DataFrame(
    {"user_id": [1], "item_id": [7], "action_type": ["like"], "timestamp": [1000]}
)


@pytest.fixture
def make_dataset(tmp_path):
    def make(items):
        spec = DatasetSpec(name="x", files={"actions": "a"}, positive=("like",))
        tables = {"actions": ACTIONS} | ({} if items is None else {"items": items})
        return write_dataset(tmp_path / "data", spec, tables)

    return make


def vocabulary(*ids):
    return Vocabulary().extended(pl.Series(ids))


def test_a_data_set_without_items_gives_an_empty_table(make_dataset):
    table = load_items(make_dataset(None), vocabulary(7, 8))
    assert table.content.shape == (3, 0)
    assert table.created_s.tolist() == [NO_TIME] * 3


def test_rows_follow_the_vocabulary_and_strangers_are_left_out(make_dataset):
    items = pl.DataFrame(
        {
            "item_id": [9, 7, 55],
            "categories": [["b", "a"], ["a"], ["c"]],
            "created_at": [5_999, 2_000, 1_000],
        }
    )
    table = load_items(make_dataset(items), vocabulary(7, 8, 9))
    assert table.created_s.tolist() == [NO_TIME, 2, NO_TIME, 5]
    assert [table.topic_names[t] for t in table.topic] == ["", "a", "", "b"]
    assert not table.content[[0, 2]].any()
    assert table.content[[1, 3]].any(axis=1).all()


def test_the_last_row_of_a_repeated_item_counts(make_dataset):
    items = pl.DataFrame({"item_id": [7, 7], "categories": [["old"], ["new"]]})
    table = load_items(make_dataset(items), vocabulary(7))
    assert table.topic_names[table.topic[1]] == "new"


def test_items_of_like_text_are_close_whatever_the_script(make_dataset):
    texts = ["rote Lampe groß", "große rote Lampe", "青い 椅子", "青い 椅子 小"]
    items = pl.DataFrame({"item_id": [1, 2, 3, 4], "text": texts})
    content = load_items(make_dataset(items), vocabulary(1, 2, 3, 4), text_dim=2).content
    same, other = content[1] @ content[2], content[1] @ content[3]
    assert same > 0.9
    assert abs(other) < 0.1
    assert content[3] @ content[4] > 0.9


def test_titles_without_spaces_between_their_words_are_close_where_they_share_words(make_dataset):
    texts = ["央行下调存款利率", "多家银行存款利率下调", "国足客场夺冠", "女排客场夺冠⚽"]
    items = pl.DataFrame({"item_id": [1, 2, 3, 4], "text": texts})
    content = load_items(make_dataset(items), vocabulary(1, 2, 3, 4), text_dim=2).content
    assert content[1] @ content[2] > 0.9
    assert content[3] @ content[4] > 0.9
    assert abs(content[1] @ content[3]) < 0.1


def test_words_of_other_scripts_are_the_terms_that_they_were_by_default():
    texts = ["A blue-enamel mug, 12 cm: naïve_Łukasz's", "кружка 5 л", "커피 잔", "🎬 ok"]
    built = re.compile(items_module._TERM)
    for text in texts:
        assert built.findall(text) == re.findall(r"(?u)\b\w\w+\b", text)


def test_a_broken_number_becomes_the_mean_and_a_constant_column_does_not_divide_by_zero(
    make_dataset,
):
    items = pl.DataFrame(
        {"item_id": [1, 2, 3], "content": [[1.0, 5.0], [3.0, 5.0], [float("nan"), 5.0]]},
        schema_overrides={"content": pl.List(pl.Float32)},
    )
    content = load_items(make_dataset(items), vocabulary(1, 2, 3)).content
    assert content[1:].tolist() == [[-1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]
