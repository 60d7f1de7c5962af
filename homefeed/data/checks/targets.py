"""A whole data set needs something to learn: seen by the check, not by the gate after training."""

from pathlib import Path

import polars as pl

from homefeed.data.contract import Dataset
from homefeed.data.specification import DatasetSpec
from homefeed.errors import DatasetError
from homefeed.schema import ACTION_TYPE, ACTIONS, DURATION_S, IMPRESSIONS, SURFACE


def require_targets(dataset: Dataset, good: Path) -> None:
    """Raise DatasetError where no good row is a positive, or none has the primary label.

    ``good`` is the folder of the tables' good rows. Not for a single day: it may have none.
    """
    spec = dataset.spec
    _require_positives(spec, pl.scan_parquet(good / f"{ACTIONS}.parquet", glob=False))
    if not dataset.has(IMPRESSIONS):
        return
    shown = pl.scan_parquet(good / f"{IMPRESSIONS}.parquet", glob=False)
    label = pl.col(spec.primary_label)
    hits, rows = shown.select(label.sum().cast(pl.Int64), pl.len()).collect().row(0)
    if not hits:
        raise DatasetError(
            f"data set `{spec.name}`: `{spec.primary_label}` is 1 in none of {rows:,} good "
            "impressions; declare another primary_label, or export its column again"
        )


def _require_positives(spec: DatasetSpec, actions: pl.LazyFrame) -> None:
    """Raise DatasetError where no row meets the rule of the store's positives, and say why."""
    counts = actions.group_by(ACTION_TYPE).len().collect(engine="streaming").sort("len")
    found = dict(counts.reverse().iter_rows())
    if not any(name in found for name in spec.positive):
        kept = ", ".join(f"{count:,} {name}" for name, count in found.items()) or "no rows"
        raise DatasetError(
            f"data set `{spec.name}`: no good action is positive ({', '.join(spec.positive)}), "
            f"there are {kept}; declare under `positive` what the models shall predict"
        )
    total, long, there, both, longest = _kept_by_condition(spec, actions)
    if both:
        return
    least = ", ".join(f"{name} {seconds:g}" for name, seconds in spec.min_duration_s.items())
    lasting = f"{long:,} last min_duration_s ({least}), the longest {longest:g} s"
    placed = f"{there:,} are on one of `surfaces` ({', '.join(spec.surfaces)})"
    if not long:
        why, advice = lasting, "lower min_duration_s, or export duration_s in seconds"
    elif not there:
        why = f"{placed}, the log has {_surfaces_of(actions)}"
        advice = "declare the surfaces as the log names them"
    else:
        why = f"{lasting}, {placed}, and none meets both"
        advice = "lower min_duration_s, or declare more surfaces"
    raise DatasetError(
        f"data set `{spec.name}`: no good action is positive: of {total:,} of a positive type "
        f"{why}; {advice}"
    )


def _kept_by_condition(
    spec: DatasetSpec, actions: pl.LazyFrame
) -> tuple[int, int, int, int, float]:
    """Rows of a positive type, those long enough, on a counting surface, both; the longest."""
    columns = actions.collect_schema().names()
    duration = pl.col(DURATION_S) if DURATION_S in columns else pl.lit(0.0, pl.Float32)
    surface = pl.col(SURFACE) if SURFACE in columns else pl.lit("")
    least = pl.lit(0.0)
    for name, seconds in spec.min_duration_s.items():
        least = pl.when(pl.col(ACTION_TYPE) == name).then(float(seconds)).otherwise(least)
    is_long = duration >= least.cast(pl.Float32)  # as precisely as the store compares them
    is_there = surface.is_in(spec.surfaces) if spec.surfaces else pl.lit(True)
    rows = actions.filter(pl.col(ACTION_TYPE).is_in(spec.positive))
    rows = rows.with_columns(_long=is_long, _there=is_there, _duration=duration)
    long, there = pl.col("_long"), pl.col("_there")
    sums = (pl.len(), long.sum(), there.sum(), (long & there).sum().alias("both"))
    return rows.select(*sums, pl.col("_duration").max()).collect(engine="streaming").row(0)


def _surfaces_of(actions: pl.LazyFrame) -> str:
    """The first names of surfaces in the log, in words."""
    if SURFACE not in actions.collect_schema():
        return "no surfaces"
    names = sorted(actions.select(pl.col(SURFACE).unique()).collect().to_series())
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(repr(name) for name in names[:5]) + more
