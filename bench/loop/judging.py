"""From lives to figures: the A/B tests, the truth, the A/A check, and what fell short."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from homefeed.abtest.analysis import Analysis
from homefeed.abtest.definition import Metric
from loop.figures import Lift, aa_share, paired_lift
from loop.lives import PAGES
from loop.logs import METRICS, ArmLog, analysed, definition_of, p_values_of_redrawn_aa
from loop.workspace import DAY_S, Finished

PAIRS = (("control", "pinnerformer"), ("pinnerformer", "realtime"), ("control", "realtime"))


def judged(
    source: Finished, lives: Path, arms: Sequence[str], days: int, draws: int, salt: str
) -> dict[str, Any]:
    """All figures over the first ``days`` live days, which every arm has lived."""
    last = source.world.days + days - 1
    before_s = source.world.end_s + days * DAY_S
    pages = {arm: read_pages(lives / arm, last) for arm in arms}
    logs = {arm: ArmLog.read(lives / arm, before_s) for arm in arms}
    pairs = [pair for pair in PAIRS if set(pair) <= set(arms)]
    split = {arm: source.releases[arm] for arm in arms}
    users = pages[arms[0]]["user_id"].n_unique()
    return {
        "days": days,
        "users": users,
        "requests_per_arm": pages[arms[0]].height,
        "arms": {arm: arm_row(pages[arm], logs[arm]) for arm in arms},
        "truth": [
            truth_row(pages, logs, control, arm, metric)
            for control, arm in pairs
            for metric in METRICS
        ],
        "ab_test": [
            row for control, arm in pairs for row in test_rows(split, logs, control, arm, salt)
        ],
        "redrawn_aa": aa_rows(logs[arms[0]], arms[0], draws),
    }


def read_pages(life: Path, last_day: int) -> pl.DataFrame:
    """The pages of a life up to ``last_day``."""
    pages = pl.scan_parquet(sorted((life / PAGES).glob("*.parquet")), missing_columns="insert")
    return pages.filter(pl.col("day") <= last_day).collect()


def arm_row(pages: pl.DataFrame, log: ArmLog) -> dict[str, Any]:
    """One arm: what happened per request, what was expected, and what was not served in full."""
    counts = dict(log.actions["action_type"].value_counts().iter_rows())
    requests = pages.height
    return {
        "requests": requests,
        **{f"{m.name}": sum(counts.get(a, 0) for a in m.actions) / requests for m in METRICS},
        **{f"expected_{m.name}": _expected(pages, m).sum() / requests for m in METRICS},
        **_headroom(pages),
        "degraded": dict(
            pages["degraded"].drop_nulls().value_counts().sort("degraded").iter_rows()
        ),
        "degraded_share": pages["degraded"].is_not_null().mean(),
        "short_pages": int((pages["shown"] < pages["asked"]).sum()),
        "popular_share": pages["popular"].sum() / pages["shown"].sum(),
    }


def _headroom(pages: pl.DataFrame) -> dict[str, float]:
    """Expected positives of the sampled pages: as served, and with other orders of candidates."""
    names = ("sampled", "best_order", "random_order")
    return {name: pages[name].mean() for name in names}


def truth_row(
    pages: dict[str, pl.DataFrame],
    logs: dict[str, ArmLog],
    control: str,
    arm: str,
    metric: Metric,
) -> dict[str, Any]:
    """The paired lift of all users: in expectation, and in what they did."""
    ours, base = (_by_user(pages[a], _expected(pages[a], metric)) for a in (arm, control))
    expected = paired_lift(ours, base)
    users = pages[control]["user_id"].unique().sort()
    ours, base = (_done_by_user(logs[a], users, metric) for a in (arm, control))
    return {
        "metric": metric.name,
        "arm": arm,
        "control": control,
        "expected": _lift(expected),
        "done": _lift(paired_lift(ours, base)),
    }


def test_rows(
    releases: dict[str, int], logs: dict[str, ArmLog], control: str, arm: str, salt: str
) -> list[dict[str, Any]]:
    """The A/B test of the two arms over all users, split by their assignment."""
    split = {control: releases[control], arm: releases[arm]}
    found = analysed(definition_of(split, f"{salt}-{control}-{arm}", METRICS), logs)
    return [
        {
            **asdict(comparison),
            "significant": comparison.significant,
            "sample_ratio_p": found.sample_ratio.p_value,
            "text": str(comparison),
        }
        for comparison in _comparisons(found)
    ]


def aa_rows(log: ArmLog, arm: str, draws: int) -> list[dict[str, Any]]:
    """The A/A check on one arm's log, per metric; the first is the one that decides."""
    values = p_values_of_redrawn_aa(log, draws, METRICS)
    rows = []
    for metric, p_values in zip(METRICS, values.T, strict=True):
        found = aa_share(p_values)
        quantiles = np.quantile(p_values[~np.isnan(p_values)], [0.1, 0.25, 0.5, 0.75, 0.9])
        rows.append(
            {
                "metric": metric.name,
                "log": arm,
                **asdict(found),
                "passed": found.passed,
                "p_value_quantiles": [round(float(q), 3) for q in quantiles],
            }
        )
    return rows


def _comparisons(found: Analysis) -> list:
    return [*found.primary, *found.guardrails]


def _expected(pages: pl.DataFrame, metric: Metric) -> np.ndarray:
    return sum(pages[f"expected_{action}"].to_numpy() for action in metric.actions)


def _by_user(pages: pl.DataFrame, values: np.ndarray) -> np.ndarray:
    frame = pages.select("user_id").with_columns(value=pl.Series(values))
    return frame.group_by("user_id").agg(pl.col("value").sum()).sort("user_id")["value"].to_numpy()


def _done_by_user(log: ArmLog, users: pl.Series, metric: Metric) -> np.ndarray:
    """Actions float64 [U] of the metric's types, by user id ascending; 0 for who did nothing."""
    counted = log.actions.filter(pl.col("action_type").is_in(list(metric.actions)))
    counts = dict(counted["user_id"].value_counts().iter_rows())
    return np.array([counts.get(f"i:{user}", 0) for user in users.to_list()], np.float64)


def _lift(found: Lift) -> dict[str, Any]:
    return {**asdict(found), "excludes_zero": found.excludes_zero, "text": str(found)}
