"""Refresh modes: how old the embedding is that must find a positive (PinnerFormer, 4.2.2).

``once``      embedded at the cutoff, asked for the whole window
``daily``     embedded at x - 1 day, asked for (x, x + 1 day]: a full day's lag
``realtime``  embedded right before each positive

Shapes: Q queries, T targets.
"""

from dataclasses import dataclass

import numpy as np

from homefeed.clock import DAY_S
from homefeed.errors import ConfigError
from homefeed.evaluation.cases import Cases

ONCE = "once"
MODES = (ONCE, "daily", "realtime")


@dataclass(frozen=True)
class Queries:
    """A user as seen at one moment, and the targets that this view of the user must find."""

    row: np.ndarray  # int64 [Q] row of Cases.users
    before_s: np.ndarray  # int64 [Q]: only actions available strictly before count
    target_query: np.ndarray  # int64 [T] the query of each target


def queries_for(mode: str, cases: Cases) -> Queries:
    """The queries of a refresh mode; ConfigError for an unknown one."""
    if mode == ONCE:
        rows = np.arange(len(cases.users))
        at_cutoff = np.full(len(rows), cases.cutoff_s + 1)
        return Queries(rows, at_cutoff, cases.target_row.astype(np.int64))
    if mode == "daily":
        day = (cases.target_time_s - cases.cutoff_s - 1) // DAY_S
        before_s = cases.cutoff_s + (day - 1) * DAY_S + 1
    elif mode == "realtime":
        before_s = cases.target_time_s
    else:
        raise ConfigError(f"unknown refresh mode `{mode}`; choose from {', '.join(MODES)}")
    pairs = np.stack([before_s, cases.target_row], axis=1)
    distinct, target_query = np.unique(pairs, axis=0, return_inverse=True)
    return Queries(distinct[:, 1], distinct[:, 0], target_query.ravel())
