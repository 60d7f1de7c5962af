"""What is loaded: follows the ledger and the running tests, and swaps one value atomically.

A thread looks at what the ledger and the tests' definitions name; what is not loaded yet is
loaded beside what serves, and only then the whole value is exchanged. A request that began with
the old value ends with it. What cannot be loaded is told in ``problems``, and what served before
goes on serving.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from homefeed.errors import ArtifactError, HomefeedError
from serving.served import RunningTest

logger = logging.getLogger("homefeed.serving")

T = TypeVar("T")

_MOST_LEFT = 8  # releases kept beyond what is wanted, whatever is promoted meanwhile


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What should be served, by the ledger and the running tests."""

    champion: int | None = None
    tests: tuple[RunningTest, ...] = ()
    problems: tuple[str, ...] = ()  # what the tests' definitions got wrong

    @property
    def versions(self) -> tuple[int, ...]:
        """All release versions named, ascending."""
        named = {version for test in self.tests for version in test.arms.values()}
        return tuple(sorted(named | ({self.champion} - {None})))


@dataclass(frozen=True, kw_only=True)
class Loaded(Generic[T]):
    """What is loaded of what is wanted."""

    wanted: Wanted
    releases: Mapping[int, T]  # by version
    keys: Mapping[int, str]  # version → release and snapshot, as `Source.key` names them
    problems: tuple[str, ...] = ()
    left: Mapping[int, str] = field(default_factory=dict)  # no longer wanted, kept a while → key


@dataclass(frozen=True, kw_only=True)
class Source(Generic[T]):
    """Where a catalog looks, and how it loads."""

    wanted: Callable[[], Wanted]
    key: Callable[[int], str]  # version → a name that changes with its newest snapshot
    load: Callable[[int], T]
    usable: Callable[[Mapping[int, str]], Mapping[int, str]] = lambda keys: {}
    # version → why a loaded release cannot serve yet (the scorer has not loaded it)


class Catalog(Generic[T]):
    """Keeps ``current`` as the source says; ``on_change`` is called after each swap.

    Who asks ``find`` may follow the ledger at a later moment than this catalog does: what is no
    longer wanted is found until nobody asked for it for ``keep_s``.
    """

    def __init__(
        self,
        source: Source[T],
        *,
        poll_s: float,
        on_change: Callable[[], None] = lambda: None,
        keep_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._poll_s, self._on_change = source, poll_s, on_change
        self._keep_s, self._clock = keep_s, clock
        self._asked_s: dict[int, float] = {}  # when a version was left, or asked for since
        self._ready: dict[str, T] = {}  # by key; loaded, whether it serves already or not
        self._refreshing = threading.Lock()
        self._stop = threading.Event()
        self.current: Loaded[T] = Loaded(
            wanted=Wanted(), releases={}, keys={}, problems=("starting",)
        )

    def start(self) -> None:
        """Refresh from a thread of its own, at once and then every ``poll_s``."""
        threading.Thread(target=self._run, name="catalog", daemon=True).start()

    def stop(self) -> None:
        """End the thread after the refresh in work."""
        self._stop.set()

    def find(self, version: int) -> T | None:
        """What is loaded of a version, also where it was wanted until lately."""
        current, ready = self.current, self._ready
        if version in current.releases:
            return current.releases[version]
        if version not in current.left:
            return None
        self._asked_s[version] = self._clock()
        return ready.get(current.left[version])

    def refresh(self) -> None:
        """Look once, load what is new, swap."""
        with self._refreshing:
            try:
                wanted = self._source.wanted()
                self._require_champion(wanted)
            except Exception as error:  # a share that is gone, a ledger of newer code
                self._swap(replace(self.current, problems=(self._told(error),)))
                return
            self._swap(self._loaded(wanted))

    def _told(self, error: Exception) -> str:
        """What is wrong, for /readyz; what nobody foresaw is in the log once, with its trace."""
        if isinstance(error, HomefeedError):
            return str(error)
        return self._unforeseen("the ledger cannot be followed", error)

    def _unforeseen(self, what: str, error: Exception) -> str:
        told = f"{what}: {error!r}"
        if told not in self.current.problems:
            logger.error("%s", what, exc_info=error)
        return told

    def _require_champion(self, wanted: Wanted) -> None:
        """ArtifactError where there is no champion any more: a ledger is lost, it never forgets."""
        served = self.current.wanted.champion
        if wanted.champion is None and served is not None:
            raise ArtifactError(
                f"the ledger names no champion any more, it was release {served}, which goes on "
                "serving; put the workspace back where it was, or stop this server"
            )

    def _loaded(self, wanted: Wanted) -> Loaded[T]:
        found: dict[int, str] = {}
        problems: dict[int, str] = {}
        for version in wanted.versions:
            try:
                key = self._source.key(version)
                if key not in self._ready:
                    logger.info("loading release %s", key)
                    self._ready[key] = self._source.load(version)
                found[version] = key
            except HomefeedError as error:
                problems[version] = f"release version {version}: {error}"
            except Exception as error:
                problems[version] = self._unforeseen(f"release version {version}", error)
        waiting = self._source.usable(found)
        problems |= {v: f"release version {v}: {why}" for v, why in waiting.items()}
        keys = self._serving(found, waiting, wanted)
        left = self._left(keys)
        kept = {*keys.values(), *found.values(), *left.values()}
        self._ready = {key: value for key, value in self._ready.items() if key in kept}
        return Loaded(
            wanted=self._servable(wanted, keys),
            releases={version: self._ready[key] for version, key in keys.items()},
            keys=keys,
            problems=(*wanted.problems, *problems.values()),
            left=left,
        )

    def _serving(
        self, found: Mapping[int, str], waiting: Mapping[int, str], wanted: Wanted
    ) -> dict[int, str]:
        """The newest snapshot where it can serve, else the one that served until now."""
        keys = {version: key for version, key in found.items() if version not in waiting}
        before = self.current.keys
        kept = set(wanted.versions)
        if wanted.champion not in keys:
            kept.add(self.current.wanted.champion)  # it serves until the new one can
        return {v: before[v] for v in kept if v in before} | keys

    def _left(self, keys: Mapping[int, str]) -> dict[int, str]:
        """The last versions that served before and were left or asked for within ``keep_s``."""
        now_s, before = self._clock(), self.current
        asked_s = {v: self._asked_s[v] for v in before.left} | dict.fromkeys(before.keys, now_s)
        asked_s = {v: s for v, s in asked_s.items() if v not in keys and now_s - s < self._keep_s}
        last = sorted(asked_s, key=asked_s.__getitem__)[-_MOST_LEFT:]
        self._asked_s = {version: asked_s[version] for version in last}
        known = {**before.left, **before.keys}
        return {version: known[version] for version in last}

    def _servable(self, wanted: Wanted, keys: Mapping[int, str]) -> Wanted:
        """Tests whose arms are all loaded; the new champion, or the old one until it is."""
        champion = wanted.champion
        if champion is not None and champion not in keys:
            champion = self.current.wanted.champion
        tests = tuple(t for t in wanted.tests if all(v in keys for v in t.arms.values()))
        return Wanted(champion=champion, tests=tests)

    def _swap(self, loaded: Loaded[T]) -> None:
        before = self.current
        changed = loaded.keys != before.keys or loaded.wanted != before.wanted
        self.current = loaded  # one reference: readers see the old value or the new one
        for problem in loaded.problems:
            if problem not in before.problems:
                logger.warning("%s", problem)
        if changed:
            tests = ", ".join(test.name for test in loaded.wanted.tests) or "none"
            logger.info(
                "champion: release %s; loaded: %s; running tests: %s",
                *(loaded.wanted.champion, ", ".join(loaded.keys.values()) or "nothing", tests),
            )
        if changed or loaded.left.keys() != before.left.keys():
            self._on_change()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.refresh()
            except Exception:
                logger.exception("the catalog could not be refreshed; it tries again")
            self._stop.wait(self._poll_s)
