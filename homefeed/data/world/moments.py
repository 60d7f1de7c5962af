"""The moments by which the world is held against real logs: one number each, of any dataset."""

from dataclasses import dataclass

import polars as pl

from homefeed import schema
from homefeed.clock import DAY_MS
from homefeed.data.contract import Dataset

WINDOW_MS = 14 * DAY_MS
MINUTE_MS = 60_000


@dataclass(frozen=True, kw_only=True)
class Moments:
    """What a log looks like from afar. Shares are in 0..1; NaN where a log cannot tell."""

    users: int
    items: int
    days: float
    actions_median: float  # of one user, over the whole log
    actions_p90_to_median: float
    actions_p99_to_median: float
    top_1_percent: float  # share of positives on the most popular 1 % of the items acted on
    top_10_percent: float
    gini: float  # of positives over the items acted on
    repeats: float  # last 14 days: share of a user's positive items that were positive before
    unseen_items: float  # last 14 days: share of positives on items without an action before
    session_mean: float  # actions in a session
    session_p90: float
    single_sessions: float  # share of sessions that hold one action
    impression_positive: float  # share of impressions with any positive label


def moments(dataset: Dataset) -> Moments:
    """Compute the moments of ``dataset`` from its timed actions."""
    actions = _timed_actions(dataset)
    positive = actions.filter("is_positive")
    per_user = actions.group_by(schema.USER_ID).len()["len"]
    per_item = positive.group_by(schema.ITEM_ID).len()["len"].sort(descending=True)
    sessions = _session_lengths(actions, dataset.spec.session_gap_s)
    repeats, unseen = _last_window(positive, actions)
    median = per_user.median()
    return Moments(
        users=len(per_user),
        items=len(per_item),
        days=(actions[schema.TIMESTAMP].max() - actions[schema.TIMESTAMP].min()) / DAY_MS,
        actions_median=median,
        actions_p90_to_median=per_user.quantile(0.9, "nearest") / median,
        actions_p99_to_median=per_user.quantile(0.99, "nearest") / median,
        top_1_percent=_top_share(per_item, 0.01),
        top_10_percent=_top_share(per_item, 0.10),
        gini=_gini(per_item),
        repeats=repeats,
        unseen_items=unseen,
        session_mean=sessions.mean(),
        session_p90=sessions.quantile(0.9, "nearest"),
        single_sessions=(sessions == 1).mean(),
        impression_positive=_impression_positive(dataset),
    )


def _timed_actions(dataset: Dataset) -> pl.DataFrame:
    """Actions with known times, without exact duplicates, with ``is_positive``."""
    spec = dataset.spec
    minimum = pl.col(schema.ACTION_TYPE).replace_strict(
        dict(spec.min_duration_s), default=0.0, return_dtype=pl.Float64
    )
    columns = [schema.USER_ID, schema.ITEM_ID, schema.ACTION_TYPE, schema.TIMESTAMP]
    return (
        dataset.scan(schema.ACTIONS)
        .filter(pl.col(schema.TIME_KNOWN) & pl.col(schema.TIMESTAMP).is_not_null())
        .with_columns(
            is_positive=pl.col(schema.ACTION_TYPE).is_in(list(spec.positive))
            & (pl.col(schema.DURATION_S).fill_null(0.0) >= minimum)
        )
        .select(*columns, "is_positive")
        .unique(columns, keep="first", maintain_order=True)
        .collect()
    )


def _session_lengths(actions: pl.DataFrame, gap_s: int) -> pl.Series:
    """Actions in each session; a pause longer than ``gap_s`` begins a new one."""
    pause = pl.col(schema.TIMESTAMP).diff().over(schema.USER_ID).fill_null(2**60)
    return (
        actions.sort(schema.USER_ID, schema.TIMESTAMP)
        .with_columns(session=(pause > gap_s * 1000).cum_sum())
        .group_by("session")
        .len()["len"]
    )


def _last_window(positive: pl.DataFrame, actions: pl.DataFrame) -> tuple[float, float]:
    """Share of repeats, and share of positives on items unseen before the last 14 days.

    A log of less than 28 days is cut in its middle.
    """
    first, last = actions[schema.TIMESTAMP].min(), actions[schema.TIMESTAMP].max()
    cut = max(last - WINDOW_MS, (first + last) // 2)
    pair = [schema.USER_ID, schema.ITEM_ID]
    recent = pl.col(schema.TIMESTAMP) > cut
    pairs = positive.filter(recent).select(pair).unique()
    before = positive.filter(~recent).select(pair).unique()
    known = actions.filter(~recent).select(schema.ITEM_ID).unique()
    total = max(len(pairs), 1)
    repeated = len(pairs.join(before, on=pair, how="semi"))
    unseen = len(pairs.join(known, on=schema.ITEM_ID, how="anti"))
    return repeated / total, unseen / total


def _top_share(counts: pl.Series, share: float) -> float:
    """Share of the sum that the first ``share`` of the descending ``counts`` hold."""
    return counts.head(max(1, round(share * len(counts)))).sum() / counts.sum()


def _gini(counts: pl.Series) -> float:
    """0 where all counts are equal, towards 1 where one holds all; ``counts`` descending."""
    n, cumulative = len(counts), counts.reverse().cum_sum()
    return (n + 1 - 2 * (cumulative / cumulative[-1]).sum()) / n


def _impression_positive(dataset: Dataset) -> float:
    if not dataset.has(schema.IMPRESSIONS):
        return float("nan")
    labels = [name for name in dataset.spec.labels if name not in dataset.spec.negative]
    some = pl.any_horizontal(pl.col(labels) > 0)
    return dataset.scan(schema.IMPRESSIONS).select(some.mean()).collect().item()
