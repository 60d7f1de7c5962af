"""The registry's verbs: register, open, promote, rollback, history.

The ledger is the truth, MLflow's aliases follow it: every verb that moves something ends by
projecting the whole state, so the next one (or ``project``) repairs what a crash left behind, or
an MLflow that did not answer.
"""

import getpass
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

from filelock import FileLock

from homefeed.clock import Clock, WallClock
from homefeed.config import local_tracking_uri
from homefeed.errors import LedgerConflict, ReleaseError
from homefeed.release.entries import Action, LedgerEntry, LedgerState
from homefeed.release.gate import GateDecision
from homefeed.release.ledger import Ledger
from homefeed.release.manifest import ReleaseManifest
from homefeed.release.opened import Release
from homefeed.release.registered_model import RegisteredModel, one_line
from homefeed.schema import LEDGER_FILE

REGISTER_TIMEOUT_S = 60.0


class Expected(Enum):
    """What a promotion may expect where it names no version."""

    AS_READ = "the champion that the call itself finds when it begins"


class ReleaseRegistry:
    """Releases of one workspace: their versions in MLflow, their story in the ledger."""

    def __init__(
        self,
        workspace: Path,
        *,
        tracking_uri: str | None = None,
        ledger_path: Path | None = None,
        clock: Clock | None = None,
        who: str | None = None,
        run: str = "",
    ) -> None:
        """``who`` acts, and the pipeline run ``run`` asked for it; the ledger keeps both."""
        self.workspace = Path(workspace).resolve()
        self.ledger = Ledger(ledger_path or self.workspace / LEDGER_FILE)
        self.model = RegisteredModel(tracking_uri or local_tracking_uri(self.workspace))
        self.clock = clock or WallClock()
        self.who, self.run = who or _user(), run

    # --- releases ---

    def register(self, manifest: ReleaseManifest) -> int:
        """Make ``manifest`` a version of the registered model; the same content is one version.

        Raises ArtifactError for a part that is missing or changed, ReleaseError for parts that
        were not made with each other, StorageError where MLflow does not answer.
        """
        manifest.verify(self.workspace)
        known = self.ledger.version_of(manifest.release_hash)
        if known is not None:
            return known
        self.ledger.path.parent.mkdir(parents=True, exist_ok=True)
        lock = self.ledger.path.with_suffix(".register.lock")
        with FileLock(lock, timeout=REGISTER_TIMEOUT_S):
            version = self.model.register(manifest)  # finds its own after a crash in between
            at_s = self.clock.now_s()
            self.ledger.add_release(version, manifest, at_s=at_s, run=self.run)
        return version

    def open(self, version: int) -> Release:
        """A release with its parts verified. Raises ReleaseError, ArtifactError."""
        manifest = self.ledger.manifest(version)
        manifest.verify(self.workspace)
        return Release(version=version, manifest=manifest, workspace=self.workspace)

    # --- promotion ---

    def promote(
        self,
        version: int,
        reason: str,
        *,
        expected_champion: int | Expected | None = Expected.AS_READ,
        before: LedgerState | None = None,
        decision: GateDecision | None = None,
        verdict: dict[str, Any] | None = None,
    ) -> LedgerEntry:
        """Make ``version`` champion, if champion is still what the caller decided against.

        ``expected_champion`` is the version that the decision was made against (None: there was
        none), ``before`` the ledger that it was made on; without them, the champion as this call
        found it. A ``decision`` that did not pass is written to the ledger and raises
        PromotionRefused. Raises LedgerConflict where somebody else moved the champion first,
        ReleaseError for an unknown version or the present champion, ArtifactError for a part that
        changed.
        """
        before = before or self.state()
        self._require_expected(before, expected_champion)
        self.open(version)
        figures = {**({"gate": decision.to_json()} if decision else {}), **(verdict or {})}
        if decision is not None and not decision.passed:
            self.record(Action.REFUSE, version, decision.reason, verdict=figures)
            decision.require()

        def target(state: LedgerState) -> int:
            if state.champion == version:
                raise ReleaseError(f"release version {version} is the champion already")
            return version

        return self._move(Action.PROMOTE, target, before, reason, figures)

    def rollback(
        self,
        reason: str,
        *,
        before: LedgerState | None = None,
        verdict: dict[str, Any] | None = None,
    ) -> LedgerEntry:
        """Return to ``previous``. Raises ReleaseError where there is none of the same log.

        ``before`` is the ledger that it was decided on: LedgerConflict where somebody else moved
        the champion since.
        """

        def target(state: LedgerState) -> int:
            if state.champion is None:
                raise ReleaseError(
                    "nothing to roll back: there is no champion yet; make one with `homefeed run`"
                )
            if state.previous is None:
                raise ReleaseError(
                    f"nothing to roll back to: champion is {state.champion} and it has no "
                    "predecessor; promote a release with `homefeed promote`"
                )
            now, then = (self.ledger.manifest(v).dataset for v in (state.champion, state.previous))
            if now != then:
                raise ReleaseError(
                    f"nothing to roll back to: champion {state.champion} was made from {now}, its "
                    f"predecessor {state.previous} from {then}, which serves other users; if that "
                    "is wanted, promote it with `homefeed promote`"
                )
            return state.previous

        before = before or self.state()
        self.open(target(before))
        return self._move(Action.ROLLBACK, target, before, reason, verdict or {})

    def set_challenger(self, version: int, reason: str) -> LedgerEntry:
        """Name the release that is to be tested against the champion."""
        self.open(version)
        entry = self.record(Action.CHALLENGE, version, reason)
        self._project_after(entry)
        return entry

    def record(
        self,
        action: Action,
        version: int,
        reason: str,
        *,
        verdict: dict[str, Any] | None = None,
    ) -> LedgerEntry:
        """Write an entry that leaves the champion where it is: hold, refuse, challenge."""
        if action in (Action.PROMOTE, Action.ROLLBACK):
            raise ValueError(f"{action} moves the champion; call its own verb")
        self.ledger.manifest(version)
        return self._append(action, lambda _: version, None, reason, verdict or {})

    # --- reading ---

    def state(self) -> LedgerState:
        """Champion, previous, challenger: from the ledger, without MLflow."""
        return self.ledger.state()

    def champion(self) -> int | None:
        """The version that serves."""
        return self.state().champion

    def challenger(self) -> int | None:
        """The version that was named to be tested."""
        return self.state().challenger

    def history(self) -> list[LedgerEntry]:
        """All entries, oldest first."""
        return self.ledger.entries()

    def refusal(self, version: int) -> LedgerEntry | None:
        """The gate's refusal of a release, unless the release was promoted since; None: none."""
        for entry in reversed(self.history()):
            if entry.to_version == version and entry.action in (Action.REFUSE, Action.PROMOTE):
                return entry if entry.action is Action.REFUSE else None
        return None

    def champion_at(self, time_s: float) -> int | None:
        """Which version was champion at ``time_s``; None before the first promotion."""
        moves = [e for e in self.history() if e.moves_champion and e.at_s <= time_s]
        return moves[-1].to_version if moves else None

    def project(self) -> None:
        """Bring MLflow's aliases to what the ledger says. Safe to call at any time.

        The ledger is read again afterwards: where another promotion came in between, its
        aliases may have been overwritten, so it is projected once more.
        """
        state = self.state()
        while True:
            self.model.project(state)
            now = self.state()
            if now == state:
                return
            state = now

    # --- writing ---

    def _move(
        self,
        action: Action,
        target: Callable[[LedgerState], int],
        before: LedgerState,
        reason: str,
        verdict: dict[str, Any],
    ) -> LedgerEntry:
        entry = self._append(action, target, before, reason, verdict)
        self._project_after(entry)
        return entry

    def _project_after(self, entry: LedgerEntry) -> None:
        """Project what ``entry`` moved; where that fails, warn.

        The verb is done by then: whom an error told otherwise would repeat it, and a second
        rollback goes back one release further. Only an interruption is passed on, told as well.
        """
        try:
            self.project()
        except BaseException as error:  # of MLflow, its database, the network, the disk, a person
            print(
                f"warning: the ledger has moved (entry {entry.seq}: {entry.action} "
                f"{entry.to_version}), do not repeat it; MLflow's aliases follow at the next "
                f"promotion, rollback or challenger: {one_line(error)}",
                file=sys.stderr,
            )
            if not isinstance(error, Exception):
                raise

    def _append(
        self,
        action: Action,
        target: Callable[[LedgerState], int],
        before: LedgerState | None,
        reason: str,
        verdict: dict[str, Any],
    ) -> LedgerEntry:
        if not reason.strip():
            raise ReleaseError(f"{action} needs a reason for the ledger, found {reason!r}")
        return self.ledger.append(
            action, target, at_s=self.clock.now_s(), who=self.who, reason=reason.strip(),
            run=self.run, verdict=verdict, expected=before,
        )  # fmt: skip

    @staticmethod
    def _require_expected(state: LedgerState, expected: int | Expected | None) -> None:
        if expected is not Expected.AS_READ and state.champion != expected:
            raise LedgerConflict(
                f"champion is version {state.champion}, version {expected} was expected: somebody "
                "else was first; look at `homefeed history`, then decide again"
            )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container user without a name
        return "unknown"
