"""One way in which a row can be wrong, and the bits that say which rows are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

DUPLICATE = "duplicate"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One expectation about the rows of one table.

    ``bad`` is a SQL predicate, true for a row that breaks the rule; ``prepare`` are statements
    that make tables it needs. ``native`` names Great Expectations' own expectation and its
    arguments; without it the share of bad rows is expected by a query of ours. Rows that break
    a rule that does not ``reject`` are counted and kept.
    """

    name: str  # reads on: "timestamp is inside the declared span"
    reason: str  # stands in the rejected rows: "timestamp_outside_span"
    bad: str
    limit: float  # largest share of rows that may break it
    native: tuple[str, Mapping[str, Any]] | None = None
    prepare: tuple[str, ...] = field(default=())
    rejects: bool = True
    sums_up: bool = False  # broken by every row that any rejecting rule but duplicates marks


def marked_by(rules: Sequence[Rule], index: int) -> int:
    """The bits of a row's mask that mean: it breaks rule ``index``."""
    if not rules[index].sums_up:
        return 1 << index
    summed = (r.rejects and not r.sums_up and r.reason != DUPLICATE for r in rules)
    return sum(1 << other for other, is_summed in enumerate(summed) if is_summed)


def rejecting_bits(rules: Sequence[Rule]) -> int:
    """The bits of a row's mask that set it aside."""
    return sum(1 << i for i, rule in enumerate(rules) if rule.rejects and not rule.sums_up)


def between(
    name: str,
    reason: str,
    column: str,
    limit: float,
    *,
    low: float | None = None,
    high: float | None = None,
) -> Rule:
    """The rule that a column's values lie from ``low`` to ``high``, both included."""
    bounds = {"min_value": low, "max_value": high}
    given = [f"{column} < {low}"] * (low is not None) + [f"{column} > {high}"] * (high is not None)
    return Rule(
        name=name,
        reason=reason,
        bad=" OR ".join(given),
        limit=limit,
        native=("ExpectColumnValuesToBeBetween", {"column": column, **bounds}),
    )
