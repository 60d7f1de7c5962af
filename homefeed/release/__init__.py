"""Releases: things that must agree travel together.

``ReleaseRegistry`` has the verbs; ``ReleaseManifest`` is what a release is; ``gate.decide`` says
whether a challenger may be promoted. MLflow is imported here and in training/tracking.py only.
"""

from homefeed.release.entries import Action, LedgerEntry, LedgerState
from homefeed.release.gate import GateDecision, GateRule
from homefeed.release.manifest import Part, ReleaseManifest
from homefeed.release.opened import Release, newest_snapshot
from homefeed.release.registry import Expected, ReleaseRegistry

__all__ = [
    "Action",
    "Expected",
    "GateDecision",
    "GateRule",
    "LedgerEntry",
    "LedgerState",
    "Part",
    "Release",
    "ReleaseManifest",
    "ReleaseRegistry",
    "newest_snapshot",
]
