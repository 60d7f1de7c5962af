"""Configuration of a fit of rankers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from homefeed.models.config import RankerConfig
from homefeed.plain_values import above, between, seed_number


@dataclass(frozen=True, kw_only=True)
class RankerFitConfig:
    """How rankers are fitted; all of one fit see the same batches.

    ``label_matrix[h][a]`` is what a row's label ``a`` adds to its weight for head ``h`` (TransAct's
    hand-set M; a row without labels weighs 1). Weights that depend on labels move probabilities
    away from rates, which the calibration per head then shows: the default has none.
    """

    rankers: tuple[RankerConfig, ...]
    epochs: float = 2.0  # passes over the training requests
    level_epochs: float = 0.5  # before them, passes that fit only the users' level (cheap)
    batch_rows: int = 1024  # candidates per step, of all workers together (on average)
    shard_rows: int = 128  # candidates computed at a time: the unit that workers share out
    learning_rate: float = 2e-3
    warmup_share: float = 0.1  # of the steps
    weight_decay: float = 1e-2
    gradient_clip: float = 1.0
    window_hours: float = 24.0  # time-window mask T ~ U(0, this), in training only; 0: none
    head_weights: Mapping[str, float] = field(default_factory=dict)  # of a head's loss; else 1
    label_matrix: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    report_every: int = 50  # steps
    checkpoint_every: int = 100  # steps
    seed: int = 0

    def __post_init__(self) -> None:
        names = [r.name for r in self.rankers]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"rankers need names that differ; found {names}")
        for name in ("batch_rows", "shard_rows", "report_every", "checkpoint_every"):
            between(name, getattr(self, name), 1)
        for name in ("level_epochs", "weight_decay", "window_hours"):
            between(name, getattr(self, name), 0)
        for name in ("epochs", "learning_rate", "gradient_clip"):
            above(name, getattr(self, name), 0)
        between("warmup_share", self.warmup_share, 0, 1)
        seed_number("seed", self.seed)
        if self.batch_rows < self.shard_rows:
            raise ValueError(
                f"batch_rows ({self.batch_rows}) must be at least shard_rows ({self.shard_rows})"
            )
