"""Times in another unit than declared: seen at once, before every row is called bad."""

from homefeed.data.checks.marking import Marks
from homefeed.data.contract import Dataset
from homefeed.errors import DatasetError
from homefeed.schema import TIMESTAMP

# An action log of after 1980 and before 2100, in milliseconds.
_EARLIEST_MS = 315_532_800_000
_LATEST_MS = 4_102_444_800_000
_UNITS_MS = {"s": 1000.0, "ms": 1.0, "us": 0.001, "ns": 0.000001}
_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}


def require_plausible_times(dataset: Dataset, table: str, marks: Marks) -> None:
    """Raise DatasetError where the typical time only makes sense in another unit."""
    declared = dataset.spec.timestamp_unit
    middle = marks.value(f"SELECT approx_quantile({TIMESTAMP}, 0.5) FROM {table}")
    if middle is None or declared not in _UNITS_MS or _EARLIEST_MS <= middle < _LATEST_MS:
        return
    found = middle / _UNITS_MS[declared]  # as it stands in the file
    for unit, in_ms in _UNITS_MS.items():
        if unit != declared and _EARLIEST_MS <= found * in_ms < _LATEST_MS:
            advice = (
                f"declare timestamp_unit: {unit}"
                if unit != "ns"
                else "divide them by 1,000 and declare timestamp_unit: us"
            )
            raise DatasetError(
                f"{dataset.root / dataset.spec.files[table]}: timestamps look like {_NAMES[unit]} "
                f"(typical value {found:.0f}) but {_NAMES[declared]} were declared; {advice}"
            )
