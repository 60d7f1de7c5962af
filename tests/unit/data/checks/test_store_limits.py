"""What the store of sequences cannot hold is found by the check, not minutes later."""

import polars as pl
import pytest

from homefeed.config import ChecksConfig
from homefeed.data.checks import check
from homefeed.data.contract import Dataset
from homefeed.data.sequences import build_sequences
from homefeed.errors import CheckRefused, DatasetError

NOW_S = 1_750_000_000
LENIENT = ChecksConfig(max_rejected_share=0.5)


@pytest.mark.parametrize("wrong_s", [-2_208_988_800, -1, 0])
def test_a_time_before_1970_or_at_its_very_start_is_set_aside_and_the_rest_can_be_built(
    open_set, actions, tmp_path, wrong_s
):
    times = pl.when(pl.int_range(pl.len()) == 3).then(wrong_s).otherwise("timestamp")
    rows = actions.with_columns(times.alias("timestamp"))
    report = check(open_set(tables={"actions": rows}), tmp_path / "out", LENIENT, NOW_S)
    assert report.tables["actions"].rejected == {"timestamp_out_of_range": 1}
    store = build_sequences(Dataset.open(tmp_path / "out"), tmp_path / "store")
    assert store.meta.action_count == actions.height - 1


def test_a_time_of_0_is_no_fault_where_the_row_says_that_its_time_is_unknown(
    open_set, actions, tmp_path
):
    is_third = pl.int_range(pl.len()) == 3
    rows = actions.with_columns(
        timestamp=pl.when(is_third | (pl.int_range(pl.len()) == 4)).then(0).otherwise("timestamp"),
        time_known=~is_third,
    )
    report = check(open_set(tables={"actions": rows}), tmp_path / "out", LENIENT, NOW_S)
    assert report.tables["actions"].rejected == {"timestamp_out_of_range": 1}


@pytest.mark.parametrize("count", [255, 256])
def test_more_surfaces_than_the_store_has_codes_for_are_refused(open_set, tmp_path, count):
    rows = pl.DataFrame(
        {
            "user_id": range(count),
            "item_id": 1,
            "action_type": "buy",
            "timestamp": range(1_700_000_000, 1_700_000_000 + count),
            "surface": [f"page {number:03}" for number in range(count)],
        }
    )
    dataset = open_set(tables={"actions": rows})
    if count == 255:
        check(dataset, tmp_path / "out", LENIENT, NOW_S)
        return
    with pytest.raises(DatasetError, match="256 surfaces, at most 255 fit; the last is 'page 255'"):
        check(dataset, tmp_path / "out", LENIENT, NOW_S)


def test_more_action_types_than_the_store_has_codes_for_are_refused(open_set, tmp_path):
    dataset = open_set(neutral=["view", *(f"kind {number}" for number in range(254))])
    with pytest.raises(DatasetError, match="256 action types, at most 255 fit; the last is"):
        check(dataset, tmp_path / "out", LENIENT, NOW_S)


@pytest.mark.parametrize("largest", [2**63 - 1, 2**63])
def test_ids_that_int64_cannot_hold_are_refused_and_not_called_missing(
    open_set, actions, tmp_path, largest
):
    ids = pl.Series("item_id", [largest, *range(39)], dtype=pl.UInt64)
    dataset = open_set(tables={"actions": actions.with_columns(ids)})
    if largest < 2**63:
        report = check(dataset, tmp_path / "out", LENIENT, NOW_S)
        assert report.tables["actions"].kept == actions.height
        return
    with pytest.raises(DatasetError, match=f"'item_id' holds integer ids .* to {largest}; write"):
        check(dataset, tmp_path / "out", LENIENT, NOW_S)


def test_bad_items_are_named_before_the_actions_that_miss_them(open_set, actions, tmp_path):
    contents = [[1.0, 2.0]] * 6 + [[1.0]] * 4
    items = pl.DataFrame({"item_id": range(10), "content": contents})
    dataset = open_set(tables={"actions": actions, "items": items})
    with pytest.raises(CheckRefused, match="is refused: items: `content has one length"):
        check(dataset, tmp_path / "out", ChecksConfig(), NOW_S)
