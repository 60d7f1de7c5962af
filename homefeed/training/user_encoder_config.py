"""The full configuration of a PinnerFormer fit, and its presets."""

import math
from dataclasses import dataclass, field, replace

from homefeed.models.config import PinnerFormerConfig
from homefeed.plain_values import above, between, seed_number


@dataclass(frozen=True, kw_only=True)
class UserEncoderConfig:
    """Network, sampling, loss and optimiser of a fit. Published values in parentheses."""

    network: PinnerFormerConfig = field(default_factory=PinnerFormerConfig)
    steps: int = 2000
    max_epochs: float = 0.0  # passes over the users, at most; 0: `steps` alone counts
    batch_users: int = 128  # of all workers together
    positions_per_user: int = 16  # each predicts one positive
    window_days: float = 28.0  # (28): how far ahead a target may lie
    num_negatives: int = 8192  # (8192): uniform; at least the catalogue = all items once
    max_in_batch: int = 5000  # (5000): in-batch negatives
    temperature_init: float = 0.07  # (learned)
    temperature_floor: float = 0.01  # (0.01)
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    weight_decay: float = 0.01
    gradient_clip: float = 1.0  # norm over all parameters
    sketch_width: int = 0  # counters per row of the count-min sketches, a power of two; 0: enough
    seed: int = 0
    report_every: int = 50  # steps between reported metrics
    checkpoint_every: int = 100  # steps between checkpoints

    def __post_init__(self) -> None:
        for name in ("steps", "batch_users", "positions_per_user"):
            between(name, getattr(self, name), 1)
        for name in ("report_every", "checkpoint_every"):
            between(name, getattr(self, name), 1)
        for name in ("max_epochs", "num_negatives", "max_in_batch", "warmup_steps", "weight_decay"):
            between(name, getattr(self, name), 0)
        for name in ("window_days", "learning_rate", "gradient_clip"):
            above(name, getattr(self, name), 0)
        for name in ("temperature_init", "temperature_floor"):
            above(name, getattr(self, name), 0)
        seed_number("seed", self.seed)
        width = self.sketch_width
        if width < 0 or width & (width - 1):
            raise ValueError(f"sketch_width is {width}; give a power of two, or 0 for enough")
        if self.num_negatives < 1 and self.max_in_batch < 1:
            raise ValueError("num_negatives and max_in_batch are both 0: nothing to tell apart")

    def for_users(self, count: int) -> "UserEncoderConfig":
        """The fit of a log with ``count`` training users: its steps bounded by ``max_epochs``.

        The same steps that a large log needs make a small one's users known by heart.
        """
        if not self.max_epochs:
            return self
        most = math.ceil(self.max_epochs * count / self.batch_users)
        steps = max(1, min(self.steps, most))
        return replace(self, steps=steps, warmup_steps=min(self.warmup_steps, steps // 4))
