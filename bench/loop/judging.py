"""From lives to figures: the A/B tests, the truth, the A/A check, and what fell short."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from homefeed.abtest.analysis import Analysis
from homefeed.abtest.definition import Metric
from homefeed.clock import DAY_S
from loop.figures import Lift, aa_share, paired_lift
from loop.lives import PAGES, SAMPLED
from loop.logs import METRICS, ArmLog, analyzed, definition_of, p_values_of_redrawn_aa
from loop.workspace import Finished

PAIRS = (("control", "pinnerformer"), ("pinnerformer", "realtime"), ("control", "realtime"))


def judged(
    source: Finished, lives: Path, lived: dict[str, int], draws: int, salt: str
) -> dict[str, Any]:
    """All figures; ``lived`` are the days of each arm, two arms are compared over the fewer."""
    arms = list(lived)
    pairs = [pair for pair in PAIRS if set(pair) <= set(arms)]
    all_days = min(lived.values())
    opened = {arm: _opened(source, lives / arm, all_days) for arm in arms}
    found: dict[str, Any] = {
        "days": all_days,
        "lived": lived,
        "arms": {arm: arm_row(*opened[arm]) for arm in arms},
        "truth": [],
        "ab_test": [],
    }
    for control, arm in pairs:
        days = min(lived[control], lived[arm])
        both = {name: _opened(source, lives / name, days) for name in (control, arm)}
        pages, logs = ({name: each[n] for name, each in both.items()} for n in (0, 1))
        told = {"days": days, "control": control, "arm": arm, "requests": pages[arm].height}
        for metric in METRICS:
            found["truth"].append(told | truth_row(pages, logs, control, arm, metric))
        found["ab_test"] += [
            told | row for row in test_rows(source.releases, logs, control, arm, salt)
        ]
    first = arms[0]
    _, log = _opened(source, lives / first, lived[first])
    return found | {"redrawn_aa": aa_rows(log, first, draws)}


def _opened(source: Finished, life: Path, days: int) -> tuple[pl.DataFrame, ArmLog]:
    """Pages and log of the first ``days`` live days."""
    last = source.world.days + days - 1
    return read_pages(life, last), ArmLog.read(life, source.world.end_s + days * DAY_S)


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
    return {name: pages[name].mean() for name in SAMPLED}


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
        "users": len(users),
        "expected": _lift(expected),
        "done": _lift(paired_lift(ours, base)),
    }


def test_rows(
    releases: dict[str, int], logs: dict[str, ArmLog], control: str, arm: str, salt: str
) -> list[dict[str, Any]]:
    """The A/B test of the two arms over all users, split by their assignment."""
    split = {control: releases[control], arm: releases[arm]}
    found = analyzed(definition_of(split, f"{salt}-{control}-{arm}", METRICS), logs)
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
