"""The adapters on the real files, where they are at hand: the published counts come out."""

from pathlib import Path

import polars as pl
import pytest

from homefeed.data.contract import resolve

PUBLIC = Path(__file__).resolve().parents[4] / ".." / "shared" / "data"


def adapted(name: str, workspace: Path):
    folder = PUBLIC / name
    if not folder.is_dir():
        pytest.skip(f"{name} is not beside this checkout")
    return resolve(str(folder), workspace)


def counts(rows: pl.LazyFrame) -> dict[str, int]:
    return dict(rows.group_by("action_type").len().collect().rows())


def test_deskdrop_has_its_published_counts(tmp_path):
    dataset = adapted("deskdrop", tmp_path)
    rows = dataset.scan("actions")
    assert counts(rows) == {
        "view": 61_086, "like": 5_745, "bookmark": 2_463, "comment": 1_611, "follow": 1_407
    }  # fmt: skip
    unique = rows.select(pl.col("user_id", "item_id").n_unique()).collect().row(0)
    assert unique == (1_895, 2_987)


def test_kuairand_has_its_published_counts(tmp_path):
    dataset = adapted("kuairand_pure_partial", tmp_path)
    shown = dataset.scan("impressions").collect()
    assert shown.height == 228_329
    assert shown["user_id"].n_unique() == 25_156
    sums = {name: shown[name].sum() for name in ("click", "long_view", "like", "hate")}
    assert sums == {"click": 100_900, "long_view": 70_963, "like": 3_915, "hate": 190}
    history = dataset.scan("actions").filter(~pl.col("time_known")).collect()
    assert history["user_id"].n_unique() == 26_469
    # 817,187 impressions, and 99,399 of the 390,929 long views are older than those kept
    assert history.height == 817_187 + 99_399
    kinds = {"watch": 520_402, "long_view": 376_402, "like": 19_782}
    assert counts(history.lazy()) == kinds


def test_online_retail_has_its_published_counts(tmp_path):
    dataset = adapted("online_retail", tmp_path)
    assert counts(dataset.scan("actions")) == {"purchase": 397_924, "cancellation": 8_905}
    unique = dataset.scan("actions").select(pl.col("user_id", "item_id").n_unique()).collect()
    assert unique.row(0) == (4_372, 3_684)
