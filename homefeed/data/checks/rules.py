"""What a good data set is: one rule for each way in which a row can be wrong.

A rule says in SQL which rows break it. The same rule is one Great Expectations expectation (the
verdict and the Data Docs) and one reason in the rejected rows: neither can drift from the other.
"""

from collections.abc import Iterator

from homefeed.clock import DAY_MS, DAY_S
from homefeed.config import ChecksConfig
from homefeed.data.checks.rule import DUPLICATE, Rule, between
from homefeed.data.sequences.layout import MAX_TIME_S
from homefeed.data.specification import DatasetSpec
from homefeed.data.tables import REQUIRED, UNREADABLE
from homefeed.schema import (
    ACTION_TYPE,
    ACTIONS,
    ARRIVED_AT,
    COLLECTIONS,
    CONTENT,
    CREATED_AT,
    DURATION_S,
    IMPRESSIONS,
    ITEM_ID,
    ITEMS,
    POSITION,
    PROPENSITY,
    TIME_KNOWN,
    TIMESTAMP,
    USER_ID,
)

UNKNOWN_ITEM = f"{ITEM_ID} NOT IN (SELECT known FROM known_items)"
LONGEST_S = 7.0 * DAY_S  # nobody watches one item for a week


def rules_for(
    table: str,
    spec: DatasetSpec,
    columns: tuple[str, ...],
    thresholds: ChecksConfig,
    now_ms: int,
    items_are_known: bool,
    *,
    whole: bool = True,
) -> list[Rule]:
    """Every rule for ``table``, given the ``columns`` that its file has.

    The SQL reads views named after the tables, each with the row's number in the log as
    ``row``, and, where ``items_are_known``, the table ``known_items`` (known). A single day, which
    is not the ``whole`` log, says nothing of whether who was shown something ever acts.
    """
    share = thresholds.max_rejected_share
    rules = [*_present(table, columns, share), *_times(table, spec, columns, share, now_ms)]
    if table == ACTIONS:
        rules += _actions(spec, columns, thresholds, items_are_known)
    if table == IMPRESSIONS:
        rules += _impressions(spec, columns, share, items_are_known)
        if whole:
            rules.append(_acting_users(thresholds))
    if table == ITEMS:
        rules += _items(columns, share)
    rules.append(_duplicates(table, columns, thresholds))
    rules.append(
        Rule(
            name="rows are good (all reasons together, duplicates apart)",
            reason="any",
            bad="FALSE",
            limit=share,
            sums_up=True,
        )
    )
    return rules


def _present(table: str, columns: tuple[str, ...], share: float) -> Iterator[Rule]:
    can_be_unreadable = UNREADABLE in columns
    for column in REQUIRED[table]:
        mark = f"coalesce({UNREADABLE}, '')"
        read = f" AND NOT starts_with({mark}, '{column}=')" if can_be_unreadable else ""
        native = ("ExpectColumnValuesToNotBeNull", {"column": column})
        yield Rule(
            name=f"{column} is present",
            reason=f"{column}_missing",
            bad=f"{column} IS NULL{read}",  # a value that is there and unreadable is not missing
            limit=share,
            native=None if can_be_unreadable else native,
        )
    if can_be_unreadable:
        yield Rule(
            name="every value can be read as its column's type",
            reason="value_unreadable",
            bad=f"{UNREADABLE} IS NOT NULL",
            limit=share,
            native=("ExpectColumnValuesToBeNull", {"column": UNREADABLE}),
        )


def _times(
    table: str, spec: DatasetSpec, columns: tuple[str, ...], share: float, now_ms: int
) -> Iterator[Rule]:
    # Of a simulated log, which ends now by its own clock, late arrivals after its end are known:
    # they count from then on.
    arrivals = () if spec.live else (ARRIVED_AT,)
    for column in (c for c in (TIMESTAMP, *arrivals, CREATED_AT) if c in columns):
        name, reason = f"{column} is not in the future", f"{column}_in_future"
        yield between(name, reason, column, share, high=now_ms)
    if TIMESTAMP not in columns:
        return
    yield _storable_time(columns, share)
    if spec.span and table != COLLECTIONS:  # boards may be older than the log
        low, high = spec.span[0] * 1000, spec.span[1] * 1000 - 1
        name = "timestamp is inside the declared span"
        yield between(name, "timestamp_outside_span", TIMESTAMP, share, low=low, high=high)


def _storable_time(columns: tuple[str, ...], share: float) -> Rule:
    """What the store of sequences can hold, less 0: that is how exports write a missing time."""
    name, reason = "timestamp is above 0 and before 2106", "timestamp_out_of_range"
    latest = MAX_TIME_S * 1000
    if TIME_KNOWN not in columns:
        return between(name, reason, TIMESTAMP, share, low=1, high=latest)
    outside = f"{TIMESTAMP} < 0 OR {TIMESTAMP} > {latest}"
    bad = f"{outside} OR ({TIME_KNOWN} AND {TIMESTAMP} = 0)"  # an unknown time may be any
    return Rule(name=name, reason=reason, bad=bad, limit=share)


def _actions(
    spec: DatasetSpec, columns: tuple[str, ...], thresholds: ChecksConfig, items_are_known: bool
) -> Iterator[Rule]:
    share = thresholds.max_rejected_share
    yield Rule(
        name="action_type is declared",
        reason="action_type_unknown",
        bad=f"{ACTION_TYPE} NOT IN ({_texts(spec.action_types)})",
        limit=share,
        native=(
            "ExpectColumnValuesToBeInSet",
            {"column": ACTION_TYPE, "value_set": list(spec.action_types)},
        ),
    )
    if DURATION_S in columns:
        name = "duration_s is between 0 and a week"
        yield between(name, "duration_out_of_range", DURATION_S, share, low=0.0, high=LONGEST_S)
    if ARRIVED_AT in columns:
        yield Rule(
            name="arrived_at is not before timestamp",
            reason="arrived_before_it_happened",
            bad=f"{ARRIVED_AT} < {TIMESTAMP}",
            limit=share,
        )
    yield _rates(columns, thresholds)
    if items_are_known:
        yield Rule(
            name="item_id is a known item",
            reason="item_unseen",
            bad=UNKNOWN_ITEM,
            limit=thresholds.max_unseen_item_share,
            rejects=False,  # a new item still teaches a model that learns ids
        )


def _impressions(
    spec: DatasetSpec, columns: tuple[str, ...], share: float, items_are_known: bool
) -> Iterator[Rule]:
    yield between("position counts from 1", "position_below_1", POSITION, share, low=1)
    for label in spec.labels:
        yield Rule(
            name=f"{label} is 0 or 1",
            reason=f"{label}_not_0_or_1",
            bad=f'"{label}" IS NULL OR "{label}" NOT IN (0, 1)',
            limit=share,
        )
    if PROPENSITY in columns:
        name = "propensity is above 0 and at most 1"
        yield between(name, "propensity_out_of_range", PROPENSITY, share, low=1e-30, high=1.0)
    if items_are_known:
        yield Rule(
            name="item_id joins to the items",
            reason="item_unknown",
            bad=UNKNOWN_ITEM,
            limit=share,
        )


def _acting_users(thresholds: ChecksConfig) -> Rule:
    """Two tables that name their users differently would give a ranker without any past."""
    prepare = f"""
        CREATE TABLE acting_users AS SELECT DISTINCT {USER_ID} AS acting FROM {ACTIONS}
        WHERE {USER_ID} IS NOT NULL"""
    return Rule(
        name="user_id has an action",
        reason="user_unseen",
        bad=f"{USER_ID} NOT IN (SELECT acting FROM acting_users)",
        limit=thresholds.max_unseen_user_share,
        prepare=(prepare,),
        rejects=False,  # who only looks is served as well
    )


def _items(columns: tuple[str, ...], share: float) -> Iterator[Rule]:
    if CONTENT in columns:
        usual = f"(SELECT mode(len({CONTENT})) FROM {ITEMS})"
        yield Rule(
            name="content has one length and no gaps",
            reason="content_malformed",
            bad=f"len({CONTENT}) <> {usual} OR list_count({CONTENT}) < len({CONTENT}) "
            f"OR len(list_filter({CONTENT}, lambda x: NOT isfinite(x))) > 0",
            limit=share,
        )


def _rates(columns: tuple[str, ...], thresholds: ChecksConfig) -> Rule:
    most = thresholds.max_actions_per_user_day
    timed = f"WHERE {TIME_KNOWN}" if TIME_KNOWN in columns else ""
    prepare = f"""
        CREATE TABLE impossible_days AS
        SELECT {USER_ID} AS busy_user, {TIMESTAMP} // {DAY_MS} AS busy_day FROM {ACTIONS} {timed}
        GROUP BY ALL HAVING count(*) > {most}"""
    timed = f"{TIME_KNOWN} AND " if TIME_KNOWN in columns else ""
    return Rule(
        name=f"no user acts more than {most:,} times a day",
        reason="impossible_rate",
        bad=f"{timed}({USER_ID}, {TIMESTAMP} // {DAY_MS}) IN "
        "(SELECT busy_user, busy_day FROM impossible_days)",
        limit=thresholds.max_rejected_share,
        prepare=(prepare,),
    )


def _duplicates(table: str, columns: tuple[str, ...], thresholds: ChecksConfig) -> Rule:
    """Later copies of a row. Untimed rows are told apart by their place alone, so they stay."""
    compared = [ITEM_ID] if table == ITEMS else [c for c in columns if c != UNREADABLE]
    listed = ", ".join(f'"{column}"' for column in compared)
    timed = f"WHERE {TIME_KNOWN}" if TIME_KNOWN in columns else ""
    # Only rows whose hash occurs twice are compared in full: the big pass keeps 8 bytes a row.
    prepare = (
        f"""CREATE TABLE repeated_{table} AS SELECT hash({listed}) AS repeated
        FROM {table} {timed} GROUP BY ALL HAVING count(*) > 1""",
        f"""CREATE TABLE copies_{table} AS SELECT copy FROM (
            SELECT "row" AS copy,
                   row_number() OVER (PARTITION BY {listed} ORDER BY "row") AS nth
            FROM (SELECT * FROM {table} {timed})
            WHERE hash({listed}) IN (SELECT repeated FROM repeated_{table})
        ) WHERE nth > 1""",
    )
    return Rule(
        name="item_id occurs once" if table == ITEMS else "no row is an exact duplicate",
        reason=DUPLICATE,
        bad=f'"row" IN (SELECT copy FROM copies_{table})',
        limit=thresholds.max_duplicate_share,
        prepare=prepare,
    )


def _texts(values: tuple[str, ...]) -> str:
    return ", ".join("'" + value.replace("'", "''") + "'" for value in values)
