"""KuaiRand-Pure (Gao et al., CIKM 2022), standard-policy log, the part at hand.

Two weeks of impressions with eight labels, and before them, per user, the last 50 videos shown,
the last 50 long viewed and the last 50 liked: in order, without times. The statistic columns of the
publisher are aggregates over the whole month (leakage), so that file is never opened.
"""

from pathlib import Path

import polars as pl

from homefeed.data.adapters.span import span_of
from homefeed.data.specification import DatasetSpec
from homefeed.schema import (
    ACTION_TYPE,
    ACTIONS,
    CATEGORIES,
    CONTENT,
    CREATED_AT,
    DURATION_S,
    IMPRESSIONS,
    ITEM_ID,
    ITEMS,
    POSITION,
    REQUEST_ID,
    SURFACE,
    TIME_KNOWN,
    TIMESTAMP,
    USER_ID,
)

NAME = "kuairand"
VERSION = 2  # histories say what was long viewed and liked
LOG = "log_standard_4_25_to_5_08_pure.parquet"
HISTORY = "user_sequences_to_4_24.parquet"
VIDEOS = "video_features_basic_pure.csv.gz"
ZONE = "Asia/Shanghai"
WATCH = "watch"

# Label → publisher's column. The order is the order of an impression's most telling action.
LABEL_COLUMNS = {
    "hate": "is_hate",
    "follow": "is_follow",
    "forward": "is_forward",
    "comment": "is_comment",
    "like": "is_like",
    "profile_enter": "is_profile_enter",
    "long_view": "long_view",
    "click": "is_click",
}
POSITIVE = ("click", "long_view", "like", "follow", "comment", "forward", "profile_enter")
NOTES = (
    "no request ids: impressions of one user at one millisecond count as one request, and their "
    "position is their order in the log",
    "an impression is one action of its most telling type (hate, follow, forward, comment, like, "
    "profile_enter, long_view, click); played without any of these, it is a neutral watch; neither "
    "played nor labelled, no action",
    "histories before 25 April have order but no times: their times are masked (time_known = "
    "false); their timestamp is only the upper bound that the file gives (the last one's time)",
    "histories name what was long viewed and what was liked: such an impression is one action of "
    "its most telling type; all others contain skips and are neutral watches; where a video was "
    "shown several times, the latest showings are the ones meant",
    "histories keep a user's last 50 impressions, 50 long views and 50 likes: long views older "
    "than the impressions come before them; older likes that were no long views are left out, "
    "because their place among the long views is unknown",
    "upload dates are read as midnight in Beijing; tabs are the surfaces",
)
_OCCURRENCE = (USER_ID, ITEM_ID, "occurrence")
_SHOWN = 1_000  # more than a history holds: what is older than all of it lies further back


def recognises(path: Path) -> bool:
    """Whether the folder holds KuaiRand-Pure's standard log."""
    return (path / LOG).is_file()


def sources(path: Path) -> list[Path]:
    """The files that are read."""
    return [path / name for name in (LOG, HISTORY, VIDEOS) if (path / name).is_file()]


def tables(path: Path) -> tuple[DatasetSpec, dict[str, pl.DataFrame]]:
    """Read the specification and the canonical tables (times in milliseconds UTC)."""
    log = pl.read_parquet(path / LOG, glob=False)
    result = {ACTIONS: _actions(log), IMPRESSIONS: _impressions(log)}
    if (path / HISTORY).is_file():
        first = log.group_by("user_id").agg(pl.col("time_ms").min().alias("first_ms"))
        history = _history(pl.read_parquet(path / HISTORY, glob=False), first)
        result[ACTIONS] = pl.concat([history, result[ACTIONS]])
    if (path / VIDEOS).is_file():
        types = {"tag": pl.String}
        result[ITEMS] = _items(pl.read_csv(path / VIDEOS, schema_overrides=types, glob=False))
    spec = DatasetSpec(
        name=NAME,
        files={table: f"{table}.parquet" for table in result},
        time_zone=ZONE,
        span=span_of(path / LOG, result[ACTIONS][TIMESTAMP], log["time_ms"]),
        positive=POSITIVE,
        neutral=(WATCH,),
        negative=("hate",),
        labels=(*POSITIVE, "hate"),
        primary_label="click",
        notes=NOTES,
    )
    return spec, result


def _actions(log: pl.DataFrame) -> pl.DataFrame:
    action = pl.coalesce(
        *(
            pl.when(pl.col(found) == 1).then(pl.lit(label))
            for label, found in LABEL_COLUMNS.items()
        ),
        pl.when(pl.col("play_time_ms") > 0).then(pl.lit(WATCH)),
    )
    return log.select(
        pl.col("user_id").alias(USER_ID),
        pl.col("video_id").alias(ITEM_ID),
        action.alias(ACTION_TYPE),
        pl.col("time_ms").alias(TIMESTAMP),
        _surface(),
        (pl.col("play_time_ms") / 1000).cast(pl.Float32).alias(DURATION_S),
        _request_id(),
        pl.lit(True).alias(TIME_KNOWN),
    ).drop_nulls(ACTION_TYPE)


def _history(sequences: pl.DataFrame, first: pl.DataFrame) -> pl.DataFrame:
    """Unfold the ordered histories, oldest first, all at their user's upper bound in time.

    Long views and likes are subsequences of what was shown: the n-th newest showing of a video
    is a long view if the video has n long views.
    """
    # Near midnight a log's first row can precede the history's last: the order must hold.
    bound = pl.min_horizontal("last_time_ms", pl.col("first_ms") - 1)
    bounds = sequences.join(first, on=USER_ID, how="left").select(USER_ID, bound.alias(TIMESTAMP))
    shown, long = (_unfolded(sequences, name) for name in ("watch_seq", "long_watch_seq"))
    older = long.join(shown, on=_OCCURRENCE, how="anti").with_columns(pl.col("back") + _SHOWN)
    kinds = {"like": _unfolded(sequences, "like_seq"), "long_view": long}
    for name, rows in kinds.items():
        marked = rows.select(*_OCCURRENCE, pl.lit(name).alias(name))
        shown, older = (
            each.join(marked, on=_OCCURRENCE, how="left", maintain_order="left")
            for each in (shown, older)
        )
    return (
        pl.concat([shown, older])
        .sort(USER_ID, pl.col("back"), descending=[False, True])
        .join(bounds, on=USER_ID, maintain_order="left")
        .select(
            USER_ID,
            ITEM_ID,
            pl.coalesce(*kinds, pl.lit(WATCH)).alias(ACTION_TYPE),
            TIMESTAMP,
            pl.lit("").alias(SURFACE),
            pl.lit(0.0, dtype=pl.Float32).alias(DURATION_S),
            pl.lit(None, dtype=pl.String).alias(REQUEST_ID),
            pl.lit(False).alias(TIME_KNOWN),
        )
    )


def _unfolded(sequences: pl.DataFrame, column: str) -> pl.DataFrame:
    """One row an entry, counted from the newest: its place, and its number among its video's."""
    rows = sequences.select(pl.col("user_id").alias(USER_ID), pl.col(column).alias(ITEM_ID))
    rows = rows.explode(ITEM_ID).drop_nulls(ITEM_ID)
    place, count = pl.int_range(pl.len()), pl.len()
    return rows.with_columns(
        (count - place).over(USER_ID).alias("back"),
        (count - place).over(USER_ID, ITEM_ID).alias("occurrence"),
    )


def _impressions(log: pl.DataFrame) -> pl.DataFrame:
    """Keep duplicate rows: a copy gets its original's position, so that the check can count it."""
    request = ["user_id", "time_ms"]
    order = (
        log.select(*request, "video_id")
        .unique(maintain_order=True)
        .with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over(request).alias(POSITION))
    )
    return log.join(order, on=[*request, "video_id"], maintain_order="left").select(
        _request_id(),
        pl.col("user_id").alias(USER_ID),
        pl.col("video_id").alias(ITEM_ID),
        pl.col("time_ms").alias(TIMESTAMP),
        POSITION,
        _surface(),
        *(pl.col(LABEL_COLUMNS[name]).cast(pl.Int8).alias(name) for name in (*POSITIVE, "hate")),
    )


def _items(videos: pl.DataFrame) -> pl.DataFrame:
    def named(prefix: str, column: str) -> pl.Expr:
        text = pl.col(column).cast(pl.String)
        return pl.when(pl.col(column).is_not_null()).then(pl.concat_str(pl.lit(prefix), text))

    tags = pl.col("tag").str.split(",").list.eval(pl.concat_str(pl.lit("tag:"), pl.element()))
    seconds = pl.col("video_duration").fill_null(pl.col("video_duration").median()) / 1000
    shape = (pl.col("server_width") / pl.col("server_height")).log()
    single = [
        named("author:", "author_id"),
        named("music:", "music_id"),
        named("type:", "video_type"),
        named("upload:", "upload_type"),
        named("music_type:", "music_type"),
    ]
    midnight = pl.col("upload_dt").str.to_datetime("%Y-%m-%d").dt.replace_time_zone(ZONE)
    return videos.select(
        pl.col("video_id").alias(ITEM_ID),
        pl.concat_list(tags.fill_null([]), *(s.fill_null("") for s in single))
        .list.filter(pl.element() != "")
        .alias(CATEGORIES),
        pl.concat_list(seconds.log1p(), shape).cast(pl.List(pl.Float32)).alias(CONTENT),
        midnight.dt.epoch("ms").alias(CREATED_AT),
    )


def _surface() -> pl.Expr:
    return pl.concat_str(pl.lit("tab"), pl.col("tab").cast(pl.String)).alias(SURFACE)


def _request_id() -> pl.Expr:
    user, time = (pl.col(c).cast(pl.String) for c in ("user_id", "time_ms"))
    return pl.concat_str(user, time, separator="-").alias(REQUEST_ID)
