"""The check step: Great Expectations behind one adapter of ours, bad rows set aside.

rules → marking (SQL over Parquet) → expectations (Great Expectations) → splitting → report.
"""

from homefeed.data.checks.check import check
from homefeed.data.checks.report import CheckReport, ExpectationResult, TableReport

__all__ = ["CheckReport", "ExpectationResult", "TableReport", "check"]
