"""Build one worker from its settings: the catalog, the dependencies, the request path."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from serving.catalog import Catalog, Source
from serving.event_log import EventLog
from serving.explain import ExplanationStore
from serving.features import OnlineReader, store_settings
from serving.http import Edge
from serving.in_use import held
from serving.loading import load_scorer, load_served, release_key
from serving.log_writer import LogWriter
from serving.request_path import LivePath
from serving.running import wanted
from serving.scoring import Scoring
from serving.served import Served, ServedRelease
from serving.settings import Settings
from serving.tuning import keep_freed_memory
from serving.user_state import UserReads

if TYPE_CHECKING:
    from homefeed.models.scorer import Scorer
    from serving.rankers import Rankers

# How long a scorer is kept that nobody asks for, beyond three turns: a service goes on with the old
# release until it has loaded the new one and its next turn finds the scorer ready.
KEEP_SCORER_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Worker:
    """One worker of the CPU service."""

    settings: Settings
    catalog: Catalog[ServedRelease]
    writer: LogWriter
    path: LivePath
    lease: IO[str]  # that the event log is open

    def open(self, edge: Edge, observe: Callable) -> None:
        """Connect the edge, and begin to follow the ledger."""
        edge.settings, edge.path, edge.observe = self.settings, self.path, observe
        self.catalog.start()

    def close(self) -> None:
        """Stop following, and write what is queued."""
        self.catalog.stop()
        self.writer.close()
        self.lease.close()


def build_worker(settings: Settings, scoring: Scoring, on_change: Callable[[], None]) -> Worker:
    """A worker whose catalog serves a release only when ``scoring`` has loaded it too."""
    lease = held(settings.workspace)
    log = EventLog(settings.event_log_path, synchronous=settings.durable_sync)
    explanations = ExplanationStore(settings.explain_path, limit=settings.explanations)
    features = OnlineReader(settings.workspace / "feast", store_settings(settings))

    def load(version: int) -> ServedRelease:
        release = load_served(settings, version)
        features.warm_up(release.feature_service)
        return release

    def not_scored_yet(keys: Mapping[int, str]) -> dict[int, str]:
        loaded = scoring.loaded()
        return {
            version: "the scorer has not loaded it yet"
            for version, key in keys.items()
            if loaded.get(version) != key
        }

    catalog = Catalog(
        Source(
            wanted=lambda: wanted(settings.workspace),
            key=lambda version: release_key(settings.workspace, version),
            load=load,
            usable=not_scored_yet,
        ),
        poll_s=settings.poll_s,
        on_change=on_change,
    )
    writer = LogWriter(log, explanations)
    path = LivePath(
        settings=settings,
        served=lambda: served_of(catalog),
        users=UserReads(features, log, settings),
        scoring=scoring,
        writer=writer,
        explanations=explanations,
    )
    return Worker(settings=settings, catalog=catalog, writer=writer, path=path, lease=lease)


def served_of(catalog: Catalog[ServedRelease]) -> Served:
    """What the catalog holds, as requests see it."""
    current = catalog.current
    return Served(
        champion=current.wanted.champion,
        releases=current.releases,
        tests=current.wanted.tests,
        problems=current.problems,
    )


def build_rankers(
    settings: Settings, on_change: Callable[[], None]
) -> "tuple[Catalog[Scorer], Rankers]":
    """The scoring side: a catalog of scorers, and what scores with it."""
    import torch

    from serving.rankers import Rankers

    torch.set_num_threads(1)  # candidates are shared out instead: products are too small to cut
    keep_freed_memory()
    catalog = Catalog(
        Source(
            wanted=lambda: wanted(settings.workspace),
            key=lambda version: release_key(settings.workspace, version),
            load=lambda version: load_scorer(settings, version),
        ),
        poll_s=settings.poll_s,
        on_change=on_change,
        keep_s=KEEP_SCORER_S + 3 * settings.poll_s,
    )
    return catalog, Rankers(catalog)
