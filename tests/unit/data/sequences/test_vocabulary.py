import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homefeed.data.vocabulary import Vocabulary, typed_id
from homefeed.errors import ArtifactError, DatasetError, UnknownIdError

INTEGERS = st.lists(st.integers(-(2**62), 2**62), max_size=30)
TEXTS = st.lists(st.text(max_size=5), max_size=30)
EXTERNAL = st.one_of(st.integers(-9, 9), st.sampled_from(["7", "-7", "i:7", "s:7", ""]), st.text())


def test_typed_ids_keep_a_number_apart_from_the_text_that_looks_like_it():
    assert typed_id(123) == "i:123"
    assert typed_id("123") == "s:123"


@given(EXTERNAL, EXTERNAL)
def test_different_ids_have_different_typed_ids(one, other):
    assert (typed_id(one) == typed_id(other)) == (one == other)


@pytest.mark.parametrize("wrong", [1.5, True, None])
def test_ids_that_are_neither_integer_nor_text_are_refused(wrong):
    with pytest.raises(UnknownIdError, match="integer or a text"):
        typed_id(wrong)


@given(st.one_of(INTEGERS, TEXTS))
def test_indices_are_first_appearances_and_ids_come_back_unchanged(ids):
    vocabulary = Vocabulary().extended(_series(ids))
    first = list(dict.fromkeys(ids))
    assert vocabulary.size == len(first)
    assert vocabulary.indices(_series(ids)).tolist() == [first.index(i) + 1 for i in ids]
    assert vocabulary.ids(range(1, len(first) + 1)) == first
    assert vocabulary.typed(range(1, len(first) + 1)) == [typed_id(i) for i in first]


@given(st.one_of(INTEGERS, TEXTS), st.integers(0, 30))
def test_extending_in_two_parts_equals_extending_at_once(ids, cut):
    parts = Vocabulary().extended(_series(ids[:cut])).extended(_series(ids[cut:]))
    whole = Vocabulary().extended(_series(ids))
    assert parts.hash == whole.hash
    assert parts.ids(range(1, parts.size + 1)) == whole.ids(range(1, whole.size + 1))


@given(st.lists(st.integers(-500, 500), min_size=1), st.lists(st.integers(-(2**62), 2**62)))
def test_dense_and_scattered_integers_are_looked_up_alike(known, asked):
    vocabulary = Vocabulary().extended(_series(known))
    first = list(dict.fromkeys(known))
    asked = asked + known
    expected = [first.index(i) + 1 if i in first else 0 for i in asked]
    assert vocabulary._table is not None
    assert vocabulary.indices(_series(asked)).tolist() == expected


def test_integers_and_texts_live_in_one_vocabulary_without_meeting():
    vocabulary = Vocabulary().extended(pl.Series([7, 8])).extended(pl.Series(["7", "ü"]))
    assert vocabulary.ids([1, 2, 3, 4]) == [7, 8, "7", "ü"]
    assert (vocabulary.index(7), vocabulary.index("7")) == (1, 3)


def test_unknown_ids_and_nulls_have_index_zero():
    vocabulary = Vocabulary().extended(pl.Series([7, 8]))
    assert vocabulary.indices(pl.Series([8, 9, None])).tolist() == [2, 0, 0]
    assert vocabulary.indices(pl.Series(["7"])).tolist() == [0]
    assert Vocabulary().indices(pl.Series([7])).tolist() == [0]


@pytest.mark.parametrize("unknown", ["nobody", "7", "--7", "²"])
def test_an_unknown_id_is_named(unknown):
    vocabulary = Vocabulary().extended(pl.Series([7]))
    with pytest.raises(UnknownIdError, match=f"'{unknown}' is not among the 1 known ids"):
        vocabulary.index(unknown)


@pytest.mark.parametrize("index", [0, -1, 3])
def test_an_index_outside_the_vocabulary_names_no_id(index):
    with pytest.raises(UnknownIdError, match=r"outside 1\.\.2"):
        Vocabulary().extended(pl.Series([7, 8])).ids([index])


def test_ids_of_other_types_are_refused_with_the_column():
    with pytest.raises(DatasetError, match="Float64 in column 'user_id'"):
        Vocabulary().extended(pl.Series("user_id", [1.5]))
    with pytest.raises(DatasetError, match="beyond 64 bits"):
        Vocabulary().extended(pl.Series("user_id", [2**63], dtype=pl.UInt64))


def test_a_saved_vocabulary_opens_equal(tmp_path):
    vocabulary = Vocabulary().extended(pl.Series(["a", "ö", ""])).extended(pl.Series([-5]))
    vocabulary.save(tmp_path / "users.parquet")
    opened = Vocabulary.open(tmp_path / "users.parquet")
    assert opened.hash == vocabulary.hash
    assert opened.ids([1, 2, 3, 4]) == ["a", "ö", "", -5]
    assert opened.first(2).hash == Vocabulary().extended(pl.Series(["a", "ö"])).hash


def test_the_hash_tells_order_type_and_boundaries_apart():
    def of(*ids):
        return Vocabulary().extended(pl.Series(ids)).hash

    assert len({of("a", "b"), of("b", "a"), of("ab"), of("a\nb"), of(1, 2), of("1", "2")}) == 6


def test_a_missing_or_truncated_vocabulary_is_an_artifact_error(tmp_path):
    with pytest.raises(ArtifactError, match="does not exist"):
        Vocabulary.open(tmp_path / "none.parquet")
    path = tmp_path / "users.parquet"
    Vocabulary().extended(pl.Series([1, 2, 3])).save(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ArtifactError, match="cannot be read"):
        Vocabulary.open(path)


def _series(ids: list) -> pl.Series:
    dtype = pl.String if ids and isinstance(ids[0], str) else pl.Int64
    return pl.Series(ids, dtype=dtype)


def test_a_null_is_unknown_whatever_the_smallest_id_is():
    vocabulary = Vocabulary().extended(pl.Series([-(2**63), -(2**63) + 5]))
    asked = pl.Series([None, -(2**63), -(2**63) + 5], dtype=pl.Int64)
    assert vocabulary.indices(asked).tolist() == [0, 1, 2]
