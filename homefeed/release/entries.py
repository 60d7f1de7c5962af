"""What a ledger entry is, and what a row of entries adds up to."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Action(StrEnum):
    """What an entry did."""

    CHALLENGE = "challenge"  # named a challenger
    PROMOTE = "promote"
    ROLLBACK = "rollback"
    HOLD = "hold"  # an A/B test ended without a change of champion
    REFUSE = "refuse"  # the gate refused a challenger


@dataclass(frozen=True, kw_only=True)
class LedgerEntry:
    """One row of the ledger. It is never changed after it was written."""

    seq: int  # 1, 2, ...: the order of the ledger, whatever clocks say
    at_s: float  # seconds since 1970-01-01 UTC, by the injected clock
    who: str
    action: Action
    from_version: int | None  # champion before
    to_version: int | None  # the release that the entry is about
    reason: str
    run: str = ""  # pipeline run that asked for it
    verdict: dict[str, Any] = field(default_factory=dict)  # figures of the gate or the A/B test

    @property
    def moves_champion(self) -> bool:
        """Whether the entry changed which release is champion."""
        return self.action in (Action.PROMOTE, Action.ROLLBACK)


@dataclass(frozen=True, kw_only=True)
class LedgerState:
    """What the ledger says after some entries."""

    line: tuple[int, ...] = ()  # champions that rollback can return to, the present one last
    challenger: int | None = None
    champion_seq: int = 0  # entry that made the present champion; 0 where there is none

    @property
    def champion(self) -> int | None:
        """The release that serves."""
        return self.line[-1] if self.line else None

    @property
    def previous(self) -> int | None:
        """The release that ``rollback`` returns to."""
        return self.line[-2] if len(self.line) > 1 else None


def fold(entries: Iterable[LedgerEntry]) -> LedgerState:
    """Read entries in order. A rollback leaves the line, so rolling back twice goes two back.

    (Returning to the release that was just rolled back would need a promotion: a second
    ``rollback`` in a bad night must not bring the bad release back.)
    """
    line: tuple[int, ...] = ()
    challenger, champion_seq = None, 0
    for entry in entries:
        if entry.action is Action.PROMOTE:
            line = (*line, entry.to_version)
        elif entry.action is Action.ROLLBACK:
            line = line[:-1]
        elif entry.action is Action.CHALLENGE:
            challenger = entry.to_version
        if entry.moves_champion:
            champion_seq = entry.seq
            challenger = None if challenger == line[-1] else challenger
    return LedgerState(line=line, challenger=challenger, champion_seq=champion_seq)
