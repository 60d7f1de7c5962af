"""After a publish: read a sample back through Feast and compare it bit for bit."""

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from feature_repo.connection import FeastConnection
from feature_repo.definitions import (
    ACTION_TYPES,
    DURATIONS,
    EARLIER_ITEMS,
    FLAGS,
    ITEM_IDS,
    JOIN_KEY,
    SHOWN_ITEMS,
    SHOWN_TIMES,
    SURFACES,
    TIMES,
    VECTOR,
    WATERMARK,
)
from feature_repo.online import stored_sequences, stored_vectors
from feature_repo.rows import Rows
from homefeed.errors import FeatureStoreError

if TYPE_CHECKING:
    from feast import FeatureView


def require_vectors(
    connection: FeastConnection, view: "FeatureView", rows: Rows, sample: int
) -> int:
    """Compare up to ``sample`` users, evenly spread; returns how many were compared.

    Users who hold a newer row are passed over. Raises FeatureStoreError at the first difference.
    """
    chosen = _spread(rows.frame, sample)
    found = stored_vectors(connection, view, chosen[JOIN_KEY].to_list())
    compared = 0
    for user, wanted, got in zip(chosen[JOIN_KEY], chosen[VECTOR].to_list(), found, strict=True):
        if got is not None and got[1] > rows.as_of_s:
            continue
        if got is None or got[1] != rows.as_of_s:
            raise _different(view, user)
        if got[0].tobytes() != np.array(wanted, np.float32).tobytes():
            raise _different(view, user)
        compared += 1
    return compared


def require_sequences(
    connection: FeastConnection, view: "FeatureView", rows: Rows, sample: int
) -> int:
    """As ``require_vectors``, for sequences with their watermark."""
    chosen = _spread(rows.frame, sample)
    found = stored_sequences(connection, view, chosen[JOIN_KEY].to_list())
    compared = 0
    for wanted, got in zip(chosen.iter_rows(named=True), found, strict=True):
        if got is not None and got[2] > rows.as_of_s:
            continue
        if got is None or got[1:] != (wanted[WATERMARK], rows.as_of_s):
            raise _different(view, wanted[JOIN_KEY])
        sequence = got[0]
        equal = (
            list(sequence.item_ids) == wanted[ITEM_IDS]
            and list(sequence.action_types) == wanted[ACTION_TYPES]
            and list(sequence.surfaces) == wanted[SURFACES]
            and sequence.times_s.tolist() == wanted[TIMES]
            and sequence.durations_s.tobytes() == np.array(wanted[DURATIONS], "f4").tobytes()
            and sequence.flags.tolist() == wanted[FLAGS]
            and list(sequence.shown_items) == wanted[SHOWN_ITEMS]
            and list(sequence.shown_ms) == wanted[SHOWN_TIMES]
            and list(sequence.earlier_items) == wanted[EARLIER_ITEMS]
        )
        if not equal:
            raise _different(view, wanted[JOIN_KEY])
        compared += 1
    return compared


def _spread(frame: pl.DataFrame, sample: int) -> pl.DataFrame:
    """Evenly spaced rows, first and last among them: every batch of a large publish is touched."""
    rows = np.unique(np.linspace(0, frame.height - 1, min(sample, frame.height)).astype(np.int64))
    return frame[rows] if frame.height else frame


def _different(view: "FeatureView", user: str) -> FeatureStoreError:
    return FeatureStoreError(
        f"the online store gave back another row of {view.name} for user {user!r} than was "
        "written; publish this day again, and look for another writer"
    )
