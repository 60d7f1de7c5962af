"""What CSV files say in other words than Parquet does."""

import polars as pl
import pytest

from homefeed.config import ChecksConfig
from homefeed.data.checks import check
from homefeed.data.contract import Dataset

START_S = 1_700_000_000


def test_quoted_empty_cells_of_csv_are_absent_values(write_set, actions, tmp_path):
    root = write_set(
        tables={"actions": actions[:2].with_columns(duration_s=pl.lit(2.0))}, ending="csv"
    )
    header, first, second = (root / "actions.csv").read_text().splitlines()
    (root / "actions.csv").write_text("\n".join([header, first.replace("2.0", '""'), second]))
    dataset = Dataset.open(root)
    assert dataset.scan("actions").collect()["duration_s"].to_list() == [0.0, 2.0]
    report = check(dataset, tmp_path / "out", ChecksConfig(), START_S + 86_400)
    assert report.tables["actions"].kept == 2


def test_whole_numbers_of_csv_may_have_been_written_as_fractions(open_set, actions):
    shown = {"request_id": ["r"], "user_id": ["u1"], "item_id": [7], "timestamp": [START_S]}
    impressions = pl.DataFrame({**shown, "position": ["3.0"], "click": ["1.0"]})
    tables = {"actions": actions, "impressions": impressions}
    rows = open_set(tables=tables, ending="csv", labels=["click"]).scan("impressions").collect()
    assert rows.select("position", "click").row(0) == (3, 1)


@pytest.mark.parametrize(
    ("largest", "kind"), [(2**63 - 1, pl.Int64), (2**63, pl.String), (10**18, pl.Int64)]
)
def test_ids_of_csv_are_whole_numbers_up_to_64_bits(open_set, actions, largest, kind):
    rows = actions.with_columns(item_id=pl.lit(str(largest)))
    found = open_set(tables={"actions": rows}, ending="csv").scan("actions").collect()["item_id"]
    assert (found.dtype, str(found[0])) == (kind, str(largest))
