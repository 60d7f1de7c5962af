"""What an evaluation found: a table of measurements for people, per-user arrays for comparisons."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from homefeed.artifacts import read_json, write_json, writing
from homefeed.errors import ArtifactError
from homefeed.evaluation.bootstrap import Estimate, paired_difference


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One metric of one view of the targets in one refresh mode."""

    mode: str  # once, daily, realtime
    view: str  # all, known, new, new_known
    metric: str  # recall@10, recall@50, percentile_rank, p90_coverage@10, interest_entropy@50
    mean: float
    low: float | None  # user-bootstrap interval; None where there is none
    high: float | None
    users: int
    targets: int

    def __str__(self) -> str:
        """Write the value, with its interval where it has one."""
        if self.low is None:
            return f"{self.mean:.4f}"
        return f"{self.mean:.4f} [{self.low:.4f}, {self.high:.4f}]"


@dataclass(frozen=True, kw_only=True)
class EvaluationReport:
    """All measurements of one model, with what is needed to read them rightly."""

    model: str
    model_hash: str | None
    cutoff_s: int
    horizon_days: float
    index_size: int
    catalogue_size: int
    users: int
    users_without_history: int  # left out: no action at the cutoff
    targets: int
    repeat_share: float  # mean over users of the share of repeats among their targets
    known_share: float  # share of the targets on items known at the cutoff
    topics: str  # what the interest entropy counts
    measurements: tuple[Measurement, ...]

    def find(self, mode: str, view: str, metric: str) -> Measurement:
        """One measurement; ArtifactError names what there is instead."""
        for found in self.measurements:
            if (found.mode, found.view, found.metric) == (mode, view, metric):
                return found
        there = sorted({f"{m.mode}/{m.view}/{m.metric}" for m in self.measurements})
        raise ArtifactError(
            f"the report of {self.model} has no {mode}/{view}/{metric}; it has {', '.join(there)}"
        )


@dataclass(frozen=True)
class Evaluation:
    """A report and the per-user values behind it."""

    report: EvaluationReport
    users: np.ndarray  # int32 [U] vocabulary indices
    by_user: Mapping[str, np.ndarray] = field(repr=False)  # "mode/view/metric" -> float64 [U]

    def save(self, path: Path) -> None:
        """Write a folder with report.json and users.npz, atomically."""
        with writing(path) as beside:
            beside.mkdir()
            write_json(beside / "report.json", asdict(self.report))
            np.savez_compressed(beside / "users.npz", users=self.users, **self.by_user)

    @classmethod
    def open(cls, path: Path) -> "Evaluation":
        """Read what ``save`` wrote; ArtifactError where it is missing or broken."""
        values = read_json(Path(path) / "report.json")
        try:
            values["measurements"] = tuple(Measurement(**m) for m in values["measurements"])
            with np.load(Path(path) / "users.npz") as arrays:
                by_user = {name: arrays[name] for name in arrays.files if name != "users"}
                return cls(EvaluationReport(**values), arrays["users"], by_user)
        except (OSError, EOFError, BadZipFile, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(
                f"evaluation {path} cannot be read ({error}); run it again"
            ) from None


def compare(
    ours: Evaluation,
    theirs: Evaluation,
    metric: str = "recall@10",
    *,
    mode: str = "once",
    view: str = "all",
    samples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Paired user-bootstrap interval of ours - theirs over the users that both have.

    Raises ArtifactError where either lacks the metric, or no user is in both.
    """
    key = f"{mode}/{view}/{metric}"
    for evaluation in (ours, theirs):
        evaluation.report.find(mode, view, metric)
    shared, here, there = np.intersect1d(
        ours.users, theirs.users, assume_unique=True, return_indices=True
    )
    if not len(shared):
        raise ArtifactError(f"{ours.report.model} and {theirs.report.model} share no user")
    return paired_difference(
        ours.by_user[key][here], theirs.by_user[key][there], samples=samples, seed=seed
    )
