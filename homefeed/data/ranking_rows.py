"""Requests and the candidates shown in them, with their labels: what a ranker learns from.

Shapes: R requests, n rows (candidates of all requests, grouped by request), H heads.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from homefeed.data.contract import Dataset
from homefeed.data.sequences import SequenceStore
from homefeed.data.splits import Timeline, window_text
from homefeed.data.vocabulary import Vocabulary
from homefeed.errors import ArtifactError, DatasetError
from homefeed.schema import (
    IMPRESSIONS,
    ITEM_ID,
    PADDING,
    POSITION,
    REQUEST_ID,
    SURFACE,
    TIMESTAMP,
    USER_ID,
)

TRAIN, EVALUATION = 0, 1


@dataclass(frozen=True, kw_only=True)
class RankingRows:
    """Requests in order of time, their rows together and in order of position."""

    user: np.ndarray  # int32 [R] user index, 0 = unknown
    viewer: np.ndarray  # int32 [R] the user's index, or a number beyond for one who never acts
    time_ms: np.ndarray  # int64 [R]
    surface: np.ndarray  # uint8 [R] surface code of the store, 0 = unknown
    split: np.ndarray  # uint8 [R] TRAIN or EVALUATION
    request: np.ndarray  # int32 [n], ascending
    item: np.ndarray  # int32 [n] item index, never 0
    position: np.ndarray  # int32 [n], from 1
    labels: np.ndarray  # uint8 [n, H]
    weight: np.ndarray  # float32 [n]: 1, or more for a row that stands for dropped ones
    heads: tuple[str, ...]


def rows_from_impressions(
    dataset: Dataset, store: SequenceStore, timeline: Timeline
) -> tuple[RankingRows, Vocabulary]:
    """Impressions of t0 < t ≤ t2 as requests and rows, and the vocabulary of their viewers.

    That is the store's users and, beyond them, those who never act. Whether somebody will ever act
    must not decide what is known of them, so what was shown is asked by viewer.

    What was shown to one user at one time under one request id is one request: a request id that
    lasts longer is several, so that each impression has the features of its own moment.

    Raises DatasetError where there are none, ArtifactError for an item that the store does not
    hold: only items without an action could be missing, so that alone would tell the label.
    """
    heads = dataset.spec.labels
    time_s = pl.col(TIMESTAMP) // 1000
    frame = (
        dataset.scan(IMPRESSIONS)
        .filter((time_s > timeline.t0_s) & (time_s <= timeline.t2_s))
        .sort(TIMESTAMP, USER_ID, REQUEST_ID, POSITION, maintain_order=True)
        .collect()
    )
    if frame.is_empty():
        first, last = pl.col(TIMESTAMP).min().alias("first"), pl.col(TIMESTAMP).max()
        ends_ms = dataset.scan(IMPRESSIONS).select(first, last).collect().row(0)
        raise DatasetError(
            f"data set `{dataset.spec.name}` has no impressions "
            f"{window_text(timeline.t0_s, timeline.t2_s)}, where rankers learn and are judged: "
            f"its own are {window_text(*(ms / 1000 for ms in ends_ms))}; set sequences.ranker_days "
            "and sequences.evaluation_days, or leave impressions out of `files`"
        )
    request = frame.select(
        pl.struct(TIMESTAMP, USER_ID, REQUEST_ID).rle_id().cast(pl.Int32)
    ).to_series()
    item = store.items.indices(frame[ITEM_ID])
    if len(missing := np.flatnonzero(item == PADDING)):
        raise ArtifactError(
            f"{len(missing):,} impressions are of items that the sequence store {store.path} does "
            f"not hold, the first of {frame[ITEM_ID][int(missing[0])]!r}; build the sequences of "
            "this data set again"
        )
    first = np.flatnonzero(np.diff(request.to_numpy(), prepend=-1))
    time_ms = frame[TIMESTAMP].to_numpy()[first]
    viewers = store.users.extended(frame[USER_ID])
    viewer = viewers.indices(frame[USER_ID][first])
    rows = RankingRows(
        user=np.where(viewer <= store.users.size, viewer, PADDING),
        viewer=viewer,
        time_ms=time_ms,
        surface=surface_codes(frame[SURFACE][first], store.meta.surfaces),
        split=split_of(time_ms, timeline),
        request=request.to_numpy(),
        item=item,
        position=frame[POSITION].fill_null(0).cast(pl.Int32).to_numpy(),
        labels=frame.select(pl.col(heads).fill_null(0).cast(pl.UInt8)).to_numpy(),
        weight=np.ones(len(frame), np.float32),
        heads=heads,
    )
    return rows, viewers


def split_of(time_ms: np.ndarray, timeline: Timeline) -> np.ndarray:
    """uint8 [R]: TRAIN for t0 < t ≤ t1, EVALUATION for t1 < t ≤ t2."""
    return np.where(timeline.evaluation(time_ms // 1000), EVALUATION, TRAIN).astype(np.uint8)


def surface_codes(names: pl.Series, surfaces: tuple[str, ...]) -> np.ndarray:
    """Surface names → uint8 codes of the store, 0 for a name that no action has."""
    codes = {name: code for code, name in enumerate(surfaces) if name}
    return names.replace_strict(codes, default=0, return_dtype=pl.UInt8).to_numpy()
