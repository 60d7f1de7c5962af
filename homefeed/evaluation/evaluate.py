"""Score the cases of a window with a model, in chunks of bounded memory.

Shapes: U users, Q queries, T targets, B queries of a chunk, C columns, K depth of top lists.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from homefeed.clock import DAY_S
from homefeed.container import cores
from homefeed.data.sequences import SequenceStore
from homefeed.evaluation import metrics
from homefeed.evaluation.bootstrap import bootstrap_means
from homefeed.evaluation.cases import VIEWS, Cases
from homefeed.evaluation.config import EvaluationConfig
from homefeed.evaluation.coverage import coverage_of_lists
from homefeed.evaluation.index import Columns, Topics, acted_on_items, columns_for, sample_index
from homefeed.evaluation.refresh import ONCE, Queries, queries_for
from homefeed.evaluation.report import Evaluation, EvaluationReport, Measurement
from homefeed.evaluation.scorers import Model, QueryScorer
from homefeed.progress import Progress


@dataclass
class _ModeResult:
    """What one pass over a mode's queries gathers."""

    ranks: np.ndarray  # int64 [T] against the whole index
    fresh_ranks: np.ndarray  # int64 [T] with the items that the user had acted on taken out
    fresh_rivals: np.ndarray  # int64 [T] index items that were left then, the target not counted
    top: np.ndarray  # int32 [Q, K] index columns of each query's top list
    entropy: np.ndarray  # float64 [Q]


def evaluate_model(
    model: Model, store: SequenceStore, cases: Cases, config: EvaluationConfig, topics: Topics
) -> Evaluation:
    """Evaluate anything that scores items for users as they were at a moment."""
    catalogue = acted_on_items(store)
    index = sample_index(catalogue, config.index_size, config.seed)
    columns = columns_for(index, cases.target_item, store.meta.item_count)
    scorer = model.scorer(store, columns)
    by_user: dict[str, np.ndarray] = {}
    measured: list[Measurement] = []
    for mode in config.modes:
        asked = cases if mode == ONCE else cases.sample(config.refresh_users, config.seed)
        queries = queries_for(mode, asked)
        result = _score(scorer, queries, asked, columns, config, topics, f"{model.name}, {mode}")
        values = _values(result, queries, asked, columns, config)
        by_user |= {
            f"{mode}/{view}/{metric}": _of_all(value, asked, cases)
            for (view, metric), value in values.items()
        }
        measured += _measure(mode, values, asked, config)
        measured.append(_coverage(mode, result, queries, asked, columns, config))
    encoder = getattr(model, "encoder", None)
    report = EvaluationReport(
        model=model.name,
        model_hash=getattr(encoder, "hash", None),
        cutoff_s=cases.cutoff_s,
        horizon_days=cases.horizon_s / DAY_S,
        index_size=len(index),
        catalogue_size=len(catalogue),
        users=len(cases.users),
        users_without_history=cases.users_without_history,
        targets=len(cases.target_item),
        repeat_share=float(_user_mean(cases.repeat, cases).mean()),
        known_share=float(cases.known.mean()),
        topics=topics.source,
        measurements=tuple(measured),
    )
    return Evaluation(report, cases.users, by_user)


def _of_all(value: np.ndarray, asked: Cases, cases: Cases) -> np.ndarray:
    """Per-user values of the users asked → of all users, float64 [U]; NaN for the others."""
    of_all = np.full(len(cases.users), np.nan)
    of_all[np.searchsorted(cases.users, asked.users)] = value
    return of_all


def _score(
    scorer: QueryScorer,
    queries: Queries,
    cases: Cases,
    columns: Columns,
    config: EvaluationConfig,
    topics: Topics,
    label: str,
) -> _ModeResult:
    num_targets, num_queries = len(cases.target_item), len(queries.row)
    result = _ModeResult(
        ranks=np.empty(num_targets, np.int64),
        fresh_ranks=np.empty(num_targets, np.int64),
        fresh_rivals=np.empty(num_targets, np.int64),
        top=np.empty((num_queries, min(config.coverage_depth, columns.num_index)), np.int32),
        entropy=np.empty(num_queries),
    )
    topic = topics.number[columns.items[: columns.num_index]]
    progress = Progress(f"evaluating {label}", num_queries)
    for chunk, targets in _chunks(queries, columns, config):
        users, before_s = cases.users[queries.row[chunk]], queries.before_s[chunk]
        scores = scorer.scores(users, before_s)
        top = metrics.top_columns(
            scores[:, : columns.num_index], max(config.coverage_depth, config.entropy_depth)
        )
        result.top[chunk] = top[:, : config.coverage_depth]
        result.entropy[chunk] = metrics.interest_entropy(topic[top[:, : config.entropy_depth]])
        row = queries.target_query[targets] - chunk.start
        column = columns.column[cases.target_item[targets]]
        result.ranks[targets] = metrics.pessimistic_ranks(scores, columns.num_index, row, column)
        _rank_fresh(result, scores, queries, cases, columns, chunk, targets)
        progress.advance(len(users))
    progress.close()
    return result


def _chunks(
    queries: Queries, columns: Columns, config: EvaluationConfig
) -> Iterator[tuple[slice, np.ndarray]]:
    """Slices of queries with the indices of their targets."""
    # Scores, their negation and one partition of it live at once; baselines score in float64.
    rows = (config.memory_mb << 20) // (3 * 8 * max(len(columns.items), 1))
    rows = int(np.clip(rows, 1, config.chunk_queries))
    order = np.argsort(queries.target_query, kind="stable")
    starts = np.arange(0, len(queries.row), rows)
    edges = np.searchsorted(queries.target_query[order], np.append(starts, len(queries.row)))
    for number, start in enumerate(starts):
        stop = min(start + rows, len(queries.row))
        yield slice(int(start), int(stop)), order[edges[number] : edges[number + 1]]


def _rank_fresh(
    result: _ModeResult,
    scores: np.ndarray,
    queries: Queries,
    cases: Cases,
    columns: Columns,
    chunk: slice,
    targets: np.ndarray,
) -> None:
    """Rank as a feed would that never shows again what its user acted on before the query."""
    for query in np.unique(queries.target_query[targets]):
        of_query = targets[queries.target_query[targets] == query]
        row = scores[query - chunk.start]
        acted = slice(
            *np.searchsorted(cases.acted_row, [queries.row[query], queries.row[query] + 1])
        )
        before = cases.acted_first_s[acted] < queries.before_s[query]
        gone = columns.column[cases.acted_item[acted][before]]
        gone = gone[(gone >= 0) & (gone < columns.num_index)]
        own = columns.column[cases.target_item[of_query]]
        itself = own[:, None] == gone[None, :]
        result.fresh_ranks[of_query] = metrics.ranks_without(
            result.ranks[of_query], row[own], row[gone], owner=itself
        )
        left = columns.num_index - len(gone) + itself.any(axis=1) - (own < columns.num_index)
        result.fresh_rivals[of_query] = left


def _values(
    result: _ModeResult,
    queries: Queries,
    cases: Cases,
    columns: Columns,
    config: EvaluationConfig,
) -> dict[tuple[str, str], np.ndarray]:
    """Per-user values float64 [U] by (view, metric); NaN where a user has no such target."""
    num_users, values = len(cases.users), {}
    in_index = columns.column[cases.target_item] < columns.num_index
    for view in VIEWS:
        chosen = cases.view(view)
        fresh = view.startswith("new")
        ranks = (result.fresh_ranks if fresh else result.ranks)[chosen]
        rivals = (result.fresh_rivals if fresh else columns.num_index - in_index)[chosen]
        row = cases.target_row[chosen]
        for depth in config.depths:
            recall = metrics.recall_by_user(ranks, row, num_users, depth)
            values[view, f"recall@{depth}"] = recall
        percentile = metrics.percentile_by_user(ranks, row, num_users, rivals)
        values[view, "percentile_rank"] = percentile
    entropy = metrics.mean_by_user(result.entropy, queries.row, num_users)
    values["all", f"interest_entropy@{config.entropy_depth}"] = entropy
    return values


def _measure(
    mode: str,
    values: dict[tuple[str, str], np.ndarray],
    cases: Cases,
    config: EvaluationConfig,
) -> Iterator[Measurement]:
    num_targets = {view: int(cases.view(view).sum()) for view in VIEWS}
    estimates = bootstrap_means(
        np.stack(list(values.values()), axis=1), samples=config.bootstrap_samples, seed=config.seed
    )
    for (view, metric), estimate in zip(values, estimates, strict=True):
        yield Measurement(
            mode=mode,
            view=view,
            metric=metric,
            mean=estimate.mean,
            low=estimate.low,
            high=estimate.high,
            users=estimate.users,
            targets=num_targets[view],
        )


def _coverage(
    mode: str,
    result: _ModeResult,
    queries: Queries,
    cases: Cases,
    columns: Columns,
    config: EvaluationConfig,
) -> Measurement:
    found = coverage_of_lists(
        result.top,
        queries.row,
        len(cases.users),
        columns.num_index,
        samples=config.bootstrap_samples,
        seed=config.seed,
    )
    return Measurement(
        mode=mode,
        view="all",
        metric=f"p90_coverage@{config.coverage_depth}",
        mean=found.mean,
        low=found.low,
        high=found.high,
        users=found.users,
        targets=int(cases.view("all").sum()),
    )


def _user_mean(flags: np.ndarray, cases: Cases) -> np.ndarray:
    return metrics.mean_by_user(flags, cases.target_row, len(cases.users))


def evaluate_all(
    models: Sequence[Model],
    store: SequenceStore,
    cases: Cases,
    config: EvaluationConfig,
    topics: Topics,
) -> list[Evaluation]:
    """Evaluate several models on the same cases, index and topics, side by side."""
    with ThreadPoolExecutor(min(cores(), len(models) or 1)) as threads:
        return list(
            threads.map(lambda model: evaluate_model(model, store, cases, config, topics), models)
        )
