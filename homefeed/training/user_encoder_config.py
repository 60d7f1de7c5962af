"""The full configuration of a PinnerFormer fit, and its presets."""

from dataclasses import dataclass, field

from homefeed.models.pinnerformer import PinnerFormerConfig


@dataclass(frozen=True, kw_only=True)
class UserEncoderConfig:
    """Network, sampling, loss and optimiser of a fit. Published values in parentheses."""

    network: PinnerFormerConfig = field(default_factory=PinnerFormerConfig)
    steps: int = 2000
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
    sketch_width: int = 1 << 20  # counters per row of the count-min sketches, a power of two
    seed: int = 0
    report_every: int = 50  # steps between reported metrics
    checkpoint_every: int = 500  # steps between checkpoints

    def __post_init__(self) -> None:
        for name in ("steps", "batch_users", "positions_per_user", "report_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} ({getattr(self, name)}) must be at least 1")
        if self.num_negatives < 1 and self.max_in_batch < 1:
            raise ValueError("num_negatives and max_in_batch are both 0: nothing to tell apart")
