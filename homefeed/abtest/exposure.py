"""From the durable logs to one row per user: which arm, how many requests, what was done.

Only exposed users count, from their first exposure on, whatever they did before. Users who were
exposed to more than one arm are counted and left out. An action counts for a metric per request
if it names a request of the test, and for a metric per user whenever it follows the exposure.

Shapes: U exposed users of one arm each, M metrics.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from homefeed.abtest.assignment import arm_positions
from homefeed.abtest.definition import Definition, Metric
from homefeed.artifacts import open_to_read
from homefeed.clock import DAY_S
from homefeed.errors import ArtifactError, DatasetError

OTHER_CLOCK_S = 2 * DAY_S  # exposures this far from now were logged by another clock
EXPOSURE_COLUMNS = {
    "user_id": pl.String,  # typed id
    "arm": pl.String,
    "request_id": pl.String,
    "time_ms": pl.Int64,
    "release_version": pl.Int64,
}
ACTION_COLUMNS = {
    "user_id": pl.String,  # typed id
    "item_id": pl.String,
    "action_type": pl.String,
    "time_ms": pl.Int64,
    "request_id": pl.String,  # null where the action belongs to no request
}


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """What each exposed user did: the cluster sums that every metric is made of."""

    arms: tuple[str, ...]
    user: np.ndarray  # str[U] typed ids, ascending
    arm: np.ndarray  # int64[U] position in ``arms``
    requests: np.ndarray  # float64[U]
    counts: dict[str, np.ndarray]  # metric name → float64[U] numerators
    crossed_users: int  # exposed to more than one arm; left out
    misassigned_users: int  # exposed to another arm than the hash gives them
    wrong_release_requests: int  # answered by another release than the arm names

    def of(self, arm: str, metric: Metric) -> tuple[np.ndarray, np.ndarray]:
        """Numerator and denominator float64[n] of one arm's users."""
        rows = self.arm == self.arms.index(arm)
        numerator = self.counts[metric.name][rows]
        per_user = metric.per == "user"
        return numerator, np.ones(len(numerator)) if per_user else self.requests[rows]

    def users_of(self, arm: str) -> int:
        """How many users were exposed to ``arm`` only."""
        return int((self.arm == self.arms.index(arm)).sum())


def last_logged_s(path: Path, test: str) -> float:
    """Time in seconds of the last exposure of a test or action of its users; 0 without any."""
    latest = (rows["time_ms"].max() for rows in read_log(path, test))
    return max((float(ms) / 1000 for ms in latest if ms is not None), default=0.0)


def end_of_test_s(path: Path, test: str, now_s: float) -> float:
    """The second at which a test that is ended now ends, on the clock that its log was written by.

    A server's simulated clock stands in another year: after an end by this machine's clock, all
    that its users do later would still count, or nothing would. So where the exposures end more
    than two days from ``now_s``, the end comes right after the last logged row. A log that is not
    there or cannot be read keeps nobody from ending a test: then it is ``now_s``.
    """
    if not Path(path).exists():
        return now_s
    try:
        shown, acted = read_log(path, test)
    except ArtifactError:
        return now_s
    if shown.is_empty():
        return now_s
    last_ms = _last_ms(shown)
    if abs(last_ms / 1000 - now_s) <= OTHER_CLOCK_S:
        return now_s
    return max(last_ms, _last_ms(acted)) / 1000 + 1


def _last_ms(rows: pl.DataFrame) -> float:
    latest = rows["time_ms"].max()
    return 0.0 if latest is None else float(latest)  # type: ignore[arg-type]


def read_log(path: Path, test: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Exposures of a test, and all actions of its users, from the event log (SQLite).

    Raises ArtifactError where the log does not exist or cannot be read.
    """
    with _opened(path) as connection:
        exposures = _rows(
            connection, "exposures", EXPOSURE_COLUMNS, "WHERE test = ? AND arm IS NOT NULL", test
        )
        known = "WHERE user_id IN (SELECT user_id FROM exposures WHERE test = ?)"
        return exposures, _rows(connection, "actions", ACTION_COLUMNS, known, test)


def exposed(path: Path, test: str) -> dict[str, tuple[int, int]]:
    """Arm → users and requests that a test has exposed by now, counted without their actions.

    Raises ArtifactError as ``read_log`` does.
    """
    query = (
        "SELECT arm, count(DISTINCT user_id), count(*) FROM exposures "
        "WHERE test = ? AND arm IS NOT NULL GROUP BY arm"
    )
    with _opened(path) as connection:
        rows = connection.execute(query, (test,)).fetchall()
    return {arm: (users, requests) for arm, users, requests in rows}


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    if not Path(path).exists():
        raise ArtifactError(f"event log {path} does not exist; was anything served yet?")
    try:
        with closing(open_to_read(path)) as connection:
            yield connection
    except sqlite3.DatabaseError as error:
        raise ArtifactError(f"event log {path} cannot be read ({error})") from None


def outcomes(
    definition: Definition,
    exposures: pl.DataFrame,
    actions: pl.DataFrame,
    *,
    ended_s: float | None = None,
) -> Outcomes:
    """Join exposures (EXPOSURE_COLUMNS) and actions (ACTION_COLUMNS) to one row per user.

    What came after ``ended_s``, when the test was stopped, is left out: its users see the champion.
    Raises DatasetError for a missing column, an arm that the definition does not have, and
    where nobody was exposed.
    """
    exposures = _checked(exposures, EXPOSURE_COLUMNS, "exposures")
    actions = _checked(actions, ACTION_COLUMNS, "actions")
    if ended_s is not None:
        in_time = pl.col("time_ms") <= 1000 * ended_s
        exposures, actions = exposures.filter(in_time), actions.filter(in_time)
    _require_arms(definition, exposures)
    exposures = exposures.unique("request_id", keep="first", maintain_order=True)
    by_user = _by_user(exposures)
    users = by_user.filter(pl.col("arms") == 1)
    for metric in definition.metrics:
        users = users.join(
            _counts(metric, users, exposures, actions), on="user_id", how="left"
        ).sort("user_id")
    arms = tuple(definition.arms)
    arm = users["arm"].replace_strict(list(arms), range(len(arms)), return_dtype=pl.Int64)
    releases = exposures["arm"].replace_strict(
        list(arms), [each.release for each in definition.arms.values()], return_dtype=pl.Int64
    )
    expected = arm_positions(definition, users["user_id"].to_list())
    return Outcomes(
        arms=arms,
        user=users["user_id"].to_numpy(),
        arm=arm.to_numpy(),
        requests=users["requests"].cast(pl.Float64).to_numpy(),
        counts={
            metric.name: users[f"metric {metric.name}"].fill_null(0).cast(pl.Float64).to_numpy()
            for metric in definition.metrics
        },
        crossed_users=by_user.height - users.height,
        misassigned_users=int((expected != arm.to_numpy()).sum()),
        wrong_release_requests=int((exposures["release_version"] != releases).sum()),
    )


def _by_user(exposures: pl.DataFrame) -> pl.DataFrame:
    """One row per exposed user: its arm, how many arms it met, its first exposure, requests."""
    return (
        exposures.group_by("user_id")
        .agg(
            pl.col("arm").first(),
            pl.col("arm").n_unique().alias("arms"),
            pl.col("time_ms").min().alias("first_ms"),
            pl.len().alias("requests"),
        )
        .sort("user_id")
    )


def _counts(
    metric: Metric, users: pl.DataFrame, exposures: pl.DataFrame, actions: pl.DataFrame
) -> pl.DataFrame:
    """user_id and the numerator of ``metric``."""
    name = f"metric {metric.name}"
    if not metric.actions:
        return users.select("user_id", pl.col("requests").alias(name))
    counted = actions.filter(pl.col("action_type").is_in(list(metric.actions)))
    if metric.per == "request":
        counted = counted.join(exposures, on=["user_id", "request_id"], how="semi")
    else:
        first = users.select("user_id", "first_ms")
        counted = counted.join(first, on="user_id").filter(pl.col("time_ms") >= pl.col("first_ms"))
    return counted.group_by("user_id").agg(pl.len().alias(name))


def _require_arms(definition: Definition, exposures: pl.DataFrame) -> None:
    if exposures.is_empty():
        raise DatasetError(
            f"nobody was exposed to test {definition.name!r}; is it started, and do requests come?"
        )
    unknown = sorted(set(exposures["arm"].unique().to_list()) - set(definition.arms))
    if unknown:
        raise DatasetError(
            f"the log exposes arm {unknown[0]!r}, test {definition.name!r} has "
            f"{', '.join(definition.arms)}; analyse it with the definition it ran with"
        )


def _checked(frame: pl.DataFrame, columns: dict[str, type], what: str) -> pl.DataFrame:
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise DatasetError(f"{what} have no column {missing[0]!r}; found {frame.columns}")
    return frame.select(pl.col(name).cast(dtype) for name, dtype in columns.items())


def _rows(
    connection: sqlite3.Connection, table: str, columns: dict[str, type], where: str, test: str
) -> pl.DataFrame:
    query = f"SELECT {', '.join(columns)} FROM {table} {where} ORDER BY seq"
    return pl.DataFrame(connection.execute(query, (test,)).fetchall(), schema=columns, orient="row")
