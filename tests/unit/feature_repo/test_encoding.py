"""Our bytes against the bytes of Feast's own protobuf objects."""

import numpy as np
import polars as pl
import pytest
from feast.protos.feast.types.Value_pb2 import (
    FloatList,
    Int32List,
    Int64List,
    StringList,
    Value,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.connection import entity_key
from feature_repo.encoding import float_lists, integer_lists, integers, text_lists
from feature_repo.writers import entity_key_bytes

INT64 = st.integers(-(2**63), 2**63 - 1)
INT32 = st.integers(-(2**31), 2**31 - 1)
FLOAT32 = st.floats(width=32, allow_nan=False)


def _lists(elements):
    return st.lists(st.lists(elements, max_size=9), min_size=1, max_size=5)


@given(_lists(FLOAT32))
@settings(max_examples=60, deadline=None)
def test_lists_of_floats_are_laid_out_as_feast_does(lists):
    ours = list(float_lists(pl.Series(lists, dtype=pl.List(pl.Float32))))
    assert ours == [Value(float_list_val=FloatList(val=v)).SerializeToString() for v in lists]


@given(_lists(INT64))
@settings(max_examples=60, deadline=None)
def test_lists_of_long_integers_are_laid_out_as_feast_does(lists):
    ours = list(integer_lists(pl.Series(lists, dtype=pl.List(pl.Int64)), "int64_list_val"))
    assert ours == [Value(int64_list_val=Int64List(val=v)).SerializeToString() for v in lists]


@given(_lists(INT32))
@settings(max_examples=60, deadline=None)
def test_lists_of_integers_are_laid_out_as_feast_does(lists):
    ours = list(integer_lists(pl.Series(lists, dtype=pl.List(pl.Int32)), "int32_list_val"))
    assert ours == [Value(int32_list_val=Int32List(val=v)).SerializeToString() for v in lists]


@given(_lists(st.text(max_size=300)))
@settings(max_examples=60, deadline=None)
def test_lists_of_texts_are_laid_out_as_feast_does(lists):
    ours = list(text_lists(pl.Series(lists, dtype=pl.List(pl.String))))
    assert ours == [Value(string_list_val=StringList(val=v)).SerializeToString() for v in lists]


@given(st.lists(INT64, min_size=1, max_size=20))
@settings(max_examples=60, deadline=None)
def test_integers_are_laid_out_as_feast_does(values):
    ours = list(integers(pl.Series(values, dtype=pl.Int64)))
    assert ours == [Value(int64_val=v).SerializeToString() for v in values]


@pytest.mark.parametrize("value", [0, 127, 128, 16_383, 16_384, 2**35 - 1, 2**35, 2**63 - 1, -1])
def test_integers_at_the_edges_of_their_length_come_back(value):
    (laid,) = integers(pl.Series([value], dtype=pl.Int64))
    assert Value.FromString(laid).int64_val == value


@given(st.text(max_size=40))
@settings(max_examples=60, deadline=None)
def test_keys_are_laid_out_as_feast_does(text):
    from feast.infra.key_encoding_utils import serialize_entity_key

    user = f"s:{text}"
    assert entity_key_bytes(user) == serialize_entity_key(entity_key(user), 3)


def test_long_lists_keep_their_bits():
    values = np.random.default_rng(0).normal(size=(3, 256)).astype(np.float32)
    laid = list(float_lists(pl.Series(values.tolist(), dtype=pl.List(pl.Float32))))
    read = [np.array(Value.FromString(each).float_list_val.val, np.float32) for each in laid]
    assert b"".join(r.tobytes() for r in read) == values.tobytes()
