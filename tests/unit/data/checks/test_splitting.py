import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from homefeed.data.checks import splitting
from homefeed.data.checks.splitting import split_rows


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 70))
def test_good_and_rejected_rows_are_all_rows_in_the_order_of_the_log(
    tmp_path_factory, is_bad, batch
):
    folder = tmp_path_factory.mktemp("split")
    table = pl.DataFrame(
        {"user_id": range(len(is_bad)), "text": [f"ü{i}" for i in range(len(is_bad))]}
    )
    table.write_parquet(folder / "all.parquet")
    bad = np.flatnonzero(is_bad)
    good_file, rejected_file = folder / "good.parquet", folder / "rejected" / "t.parquet"
    whole, splitting.BATCH_ROWS = splitting.BATCH_ROWS, batch
    try:
        split_rows(folder / "all.parquet", good_file, rejected_file, bad, [f"r{i}" for i in bad])
    finally:
        splitting.BATCH_ROWS = whole
    good = pl.read_parquet(good_file)
    assert good["user_id"].to_list() == [i for i, wrong in enumerate(is_bad) if not wrong]
    if not len(bad):
        assert not rejected_file.exists()
        return
    rejected = pl.read_parquet(rejected_file)
    assert rejected["row"].to_list() == bad.tolist() == rejected["user_id"].to_list()
    assert rejected["reason"].to_list() == [f"r{i}" for i in bad]
    both = pl.concat([good, rejected.drop("row", "reason")]).sort("user_id")
    assert both.equals(table)


def test_the_mark_of_unreadable_values_is_not_among_the_good_columns(tmp_path):
    table = pl.DataFrame({"user_id": [1, 2], "unreadable": [None, "timestamp"]})
    table.write_parquet(tmp_path / "all.parquet")
    good, rejected = tmp_path / "g.parquet", tmp_path / "r" / "t.parquet"
    split_rows(tmp_path / "all.parquet", good, rejected, np.array([1]), ["value_unreadable"])
    assert pl.read_parquet(good).columns == ["user_id"]
    assert pl.read_parquet(rejected)["unreadable"].to_list() == ["timestamp"]
