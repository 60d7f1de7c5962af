"""The lives' event logs, as the analysis of an A/B test takes them.

Every user lived under every arm, so the log of an A/B test is, for each user, the log of the arm
that the assignment gives: any number of tests can be drawn from the same lives, and each is
analysed by the very code that analyses a live one.
"""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from homefeed.abtest.analysis import Analysis, analyze
from homefeed.abtest.assignment import arm_positions
from homefeed.abtest.definition import Arm, Definition, Metric
from homefeed.abtest.exposure import outcomes
from homefeed.artifacts import open_to_read
from homefeed.clock import DAY_S
from homefeed.schema import EVENT_LOG_FILE

POSITIVES = Metric(name="positives_per_request", actions=("save", "click"), per="request")
SAVES = Metric(name="saves_per_request", actions=("save",), per="request")
HIDES = Metric(name="hides_per_request", actions=("hide",), per="request", direction="down")
METRICS = (POSITIVES, SAVES, HIDES)

EXPOSURES_SQL = (
    "SELECT user_id, request_id, time_ms, release_version FROM exposures "
    "WHERE endpoint = 'feed' AND time_ms < ? ORDER BY seq"
)
ACTIONS_SQL = (
    "SELECT user_id, item_id, action_type, time_ms, request_id FROM actions "
    "WHERE request_id IS NOT NULL AND time_ms < ? ORDER BY seq"
)


@dataclass(frozen=True)
class ArmLog:
    """What one arm's life logged: exposures and the actions that answered a page."""

    exposures: pl.DataFrame
    actions: pl.DataFrame

    @classmethod
    def read(cls, workspace: Path, before_s: int) -> "ArmLog":
        """The log of the requests before ``before_s``."""
        connection = open_to_read(workspace / EVENT_LOG_FILE)
        try:
            cursor = connection.execute(EXPOSURES_SQL, (before_s * 1000,))
            exposures = _frame(cursor)
            # A page's actions end before the user's next one, but may pass midnight.
            actions = _frame(connection.execute(ACTIONS_SQL, ((before_s + DAY_S) * 1000,)))
        finally:
            connection.close()
        return cls(exposures, actions.join(exposures, on="request_id", how="semi"))

    def of(self, users: pl.Series, arm: str, release: int) -> "ArmLog":
        """The part of ``users``, as a test logs it that calls the arm ``arm``."""
        named = [pl.lit(arm).alias("arm"), pl.lit(release, pl.Int64).alias("release_version")]
        return ArmLog(
            self.exposures.filter(pl.col("user_id").is_in(users.implode())).with_columns(named),
            self.actions.filter(pl.col("user_id").is_in(users.implode())),
        )


def definition_of(releases: dict[str, int], salt: str, metrics: tuple[Metric, ...]) -> Definition:
    """A test between arms; the first is the control, the first metric decides."""
    return Definition(
        name="closed-loop",
        arms={arm: Arm(release=version) for arm, version in releases.items()},
        primary=metrics[0],
        guardrails=metrics[1:],
        layer="ranking",
        salt=salt,
        correction="none",
    )


def analyzed(definition: Definition, logs: dict[str, ArmLog]) -> Analysis:
    """The A/B test that ``definition`` would have been: users split by its own assignment."""
    users = pl.concat([log.exposures["user_id"] for log in logs.values()]).unique().sort()
    position = arm_positions(definition, users.to_list())
    parts = [
        logs[arm].of(users.filter(position == number), arm, definition.arms[arm].release)
        for number, arm in enumerate(definition.arms)
    ]
    found = outcomes(
        definition,
        pl.concat([part.exposures for part in parts]),
        pl.concat([part.actions for part in parts]),
    )
    return analyze(definition, found)


def p_values_of_redrawn_aa(log: ArmLog, draws: int, metrics: tuple[Metric, ...]) -> np.ndarray:
    """p-values float64 [draws, M] of tests between two arms that are one and the same log."""
    values = np.empty((draws, len(metrics)))
    for draw in range(draws):
        definition = definition_of({"a": 1, "b": 1}, f"redrawn-{draw}", metrics)
        analysis = analyzed(definition, {"a": log, "b": log})
        found = (*analysis.primary, *analysis.guardrails)
        values[draw] = [comparison.p_value for comparison in found]
    return values


def _frame(cursor: sqlite3.Cursor) -> pl.DataFrame:
    names = [column[0] for column in cursor.description]
    return pl.DataFrame(cursor.fetchall(), schema=names, orient="row", infer_schema_length=None)
